import { describe, expect, it } from 'vitest';
import { Offers } from '../../../src/handover/offers.js';
import type { SealedShard } from '../../../src/seal/index.js';
import { bytesSource } from '../../../src/source/index.js';
import { openHost, pattern } from '../manager/fixture.js';
import { sharingDevice } from './shared-device.js';

/** Two shards: one that can be offered, one sealed without share. */
async function seal(): Promise<{ shard: SealedShard; plain: SealedShard }> {
  const { manager } = await openHost({ wrap: (device) => sharingDevice(device) });
  const shard = await manager.seal(bytesSource(pattern(5000)), { share: true });
  const plain = await manager.seal(bytesSource(pattern(5000, 2)));
  await manager.close();
  return { shard, plain };
}

function refused(argument: string, words: string) {
  return expect.objectContaining({
    name: 'VramError',
    code: 'INVALID_INPUT',
    argument,
    message: expect.stringContaining(words),
  });
}

describe('Offers', () => {
  it('takes names of 1 to 128 characters of a few kinds', async () => {
    const { shard } = await seal();
    const offers = new Offers();
    for (const name of ['a', 'Z9._:@+/-', 'm'.repeat(128)]) offers.set(name, shard);
    expect(offers.names()).toEqual(['a', 'Z9._:@+/-', 'm'.repeat(128)]);
    for (const name of ['', '-a', '.a', 'a b', 'a\n', ' a', 'm'.repeat(129), 7, null]) {
      expect(() => Reflect.apply(offers.set, offers, [name, shard]), JSON.stringify(name)).toThrow(
        refused('name', 'must be 1 to 128 of A-Z'),
      );
    }
  });

  it('takes 1 to 1,024 shards that were sealed with share', async () => {
    const { shard, plain } = await seal();
    const offers = new Offers();
    offers.set('most', Array(1024).fill(shard));
    expect(offers.get('most')?.shards).toHaveLength(1024);
    const words = 'must be 1 to 1024 sealed shards';
    expect(() => offers.set('none', [])).toThrow(refused('shards', words));
    expect(() => offers.set('many', Array(1025).fill(shard))).toThrow(refused('shards', words));
    expect(() => Reflect.apply(offers.set, offers, ['m', [shard, { ...shard }]])).toThrow(
      refused('shards[1]', 'must be what seal() returned'),
    );
    expect(() => offers.set('plain', [shard, plain])).toThrow(
      refused('shards[1]', 'was not sealed with share: other processes cannot map its memory'),
    );
    expect(offers.names()).toEqual(['most']);
  });

  it('does not change with the array that it was given', async () => {
    const { shard } = await seal();
    const offers = new Offers();
    const shards = [shard];
    offers.set('model', shards);
    shards.length = 0;
    expect(offers.get('model')?.shards).toEqual([shard]);
  });

  it('has room for 128 models, any of which can be replaced', async () => {
    const { shard } = await seal();
    const offers = new Offers();
    for (let model = 0; model < 128; model++) offers.set(`model-${model}`, shard);
    expect(() => offers.set('one-more', shard)).toThrow(
      refused('name', 'would exceed 128 models: withdraw another first'),
    );
    offers.set('model-5', shard);
    expect(offers.delete('model-7')).toBe(true);
    offers.set('one-more', shard);
    expect(offers.names()).toHaveLength(128);
  });

  it('says what was replaced: not what still stands, nor what was withdrawn', async () => {
    const { shard } = await seal();
    const offers = new Offers();
    expect(offers.get('model')).toBeNull();
    offers.set('model', shard);
    const first = offers.get('model') ?? { shards: [] };
    expect(offers.isReplaced('model', first)).toBe(false);
    offers.set('model', shard);
    expect(offers.isReplaced('model', first)).toBe(true);
    expect(offers.delete('model')).toBe(true);
    expect(offers.delete('model')).toBe(false);
    expect(offers.isReplaced('model', first)).toBe(false);
  });
});
