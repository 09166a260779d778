import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { type DamagePlan, drawDamage, MAX_DRILL_BITS } from '../../src/manager/drills/damage.js';
import { Pcg32 } from '../../src/manager/drills/pcg32.js';
import { type DrillOptions, VramManager } from '../../src/manager/index.js';
import { nodeCrypto } from '../../src/node/crypto.js';
import { bytesSource } from '../../src/source/index.js';
import {
  failure,
  openHost,
  overlay,
  pattern,
  planOver,
  platform,
  Recorder,
  regionsOf,
  wrapRegions,
} from './manager-fixture.js';

const BLOCK = 4096;

const draw = async (bytes: Uint8Array, rest: Partial<DamagePlan>): Promise<number[]> =>
  (await drawDamage(planOver(bytes, rest))).map(({ byte, bit }) => byte * 8 + bit);

const run = (from: number, count: number): number[] => Array.from({ length: count }, (_, at) => from + at);

describe('the generator', () => {
  /** The reference implementation's pcg32_random_r and pcg32_srandom_r, with BigInt alone. */
  function reference(seed: number): () => number {
    const mask = (1n << 64n) - 1n;
    let state = 0n;
    const next = (): number => {
      const old = state;
      state = (old * 6364136223846793005n + 109n) & mask;
      const xorshifted = (((old >> 18n) ^ old) >> 27n) & 0xffffffffn;
      const rotation = old >> 59n;
      return Number(((xorshifted >> rotation) | (xorshifted << (32n - rotation))) & 0xffffffffn);
    };
    next();
    state = (state + BigInt(seed)) & mask;
    next();
    return next;
  }

  it.each([0, 1, 42, 2 ** 32, Number.MAX_SAFE_INTEGER])(
    'seed %d gives the numbers of the reference',
    (seed) => {
      const random = new Pcg32(seed);
      const expected = reference(seed);
      for (let draw = 0; draw < 300; draw++) expect(random.next()).toBe(expected());
    },
  );

  it.each([1, 2, 7, 3 * 2 ** 30, 2 ** 32 - 1, 2 ** 32])(
    'below %d takes one number of 32 bits at a time, and none beyond the last whole multiple',
    (bound) => {
      const random = new Pcg32(5);
      const next = reference(5);
      for (let draw = 0; draw < 100; draw++) {
        let drawn = next();
        while (drawn >= 2 ** 32 - (2 ** 32 % bound)) drawn = next();
        expect(random.below(bound)).toBe(drawn % bound);
      }
    },
  );

  it.each([2 ** 32 + 1, 3 * 2 ** 51, 2 ** 53])(
    'below %d takes 53 bits at a time, and none beyond the last whole multiple',
    (bound) => {
      const random = new Pcg32(6);
      const next = reference(6);
      const wide = (): bigint => BigInt(next() % 2 ** 21) * 2n ** 32n + BigInt(next());
      for (let draw = 0; draw < 100; draw++) {
        let drawn = wide();
        while (drawn >= 2n ** 53n - (2n ** 53n % BigInt(bound))) drawn = wide();
        expect(random.below(bound)).toBe(Number(drawn % BigInt(bound)));
      }
    },
  );
});

describe('what is drawn', () => {
  it.each([
    ['bit', 'data', '5cc9bb396dd35798'],
    ['bit', 'padding', 'd54b5c46cad1a781'],
    ['bit', 'both', '627d75bbdb3f0179'],
    ['neighbours', 'data', 'eb89647212a10fce'],
    ['neighbours', 'padding', '4706a747185e2939'],
    ['neighbours', 'both', '61b190b7d33d4220'],
    ['word', 'data', '63ad2d6af45af49e'],
    ['word', 'padding', 'fcbf62008735d1df'],
    ['word', 'both', '9f9e3b9ada544221'],
    ['block', 'data', 'b51a032720864b40'],
    ['block', 'both', 'fa3f9c11b80b6d0f'],
    ['pair', 'data', 'ed04fbda26527d1a'],
  ] as const)('keeps its choice from release to release: %s in %s', async (name, area, digest) => {
    const hash = createHash('sha256');
    for (const byteLength of [1, 4, 31, BLOCK + 6, 3 * BLOCK - 1]) {
      for (const seed of [0, 1, 2]) {
        try {
          hash.update(
            (
              await draw(pattern(byteLength), {
                patterns: [name],
                area,
                seed,
                flips: name === 'block' ? 1 : 3,
              })
            ).join(),
          );
        } catch (error) {
          hash.update(String(error));
        }
      }
    }
    expect(hash.digest('hex').slice(0, 16)).toBe(digest);
  });

  it('one place in a thousand draws, or the first that is left from another draw on', async () => {
    // The last words of many: each seed comes to draws that all fail.
    const words = 4000;
    for (const seed of [1, 2, 3]) {
      const random = new Pcg32(seed);
      const taken = new Set<number>();
      let looked = 0;
      while (taken.size < words) {
        let word = random.below(words);
        for (let draws = 1; draws < 1000 && taken.has(word); draws++) word = random.below(words);
        if (taken.has(word)) {
          looked++;
          word = random.below(words);
          while (taken.has(word)) word = (word + 1) % words;
        }
        taken.add(word);
      }
      expect(looked).toBeGreaterThan(0);
      const bits = await draw(new Uint8Array(4 * words), { patterns: ['word'], flips: words, seed });
      expect(bits.filter((bit) => bit % 32 === 0).map((bit) => bit / 32)).toEqual([...taken]);
    }
  });

  it('for a pair 64 draws, then one for the chunk to begin with: what is drawn next shows it', async () => {
    // One bit of the shard differs: nearly no draw meets it.
    const bytes = new Uint8Array(3 * BLOCK);
    bytes[2 * BLOCK + 5] = 4;
    const odd = (2 * BLOCK + 5) * 8 + 2;
    for (const seed of [1, 2, 3]) {
      const [one, other, next] = await draw(bytes, { patterns: ['pair', 'bit'], flips: 2, seed });
      expect([one, other]).toEqual([8 + 2, odd]);
      const random = new Pcg32(seed);
      for (let draws = 0; draws < 64; draws++) {
        const [first, second] = [random.below(3), random.below(3)];
        const [byte, bit] = [random.below(BLOCK), random.below(8)];
        const met = second === 2 || (first === 2 && byte === 5);
        expect(met && byte % 4 === 1 && bit === 2).toBe(false);
      }
      random.below(1);
      expect(next).toBe(random.below(3 * BLOCK * 8));
    }
  });

  it('the same seed draws in turns what the patterns say', async () => {
    const flips = await drawDamage(
      planOver(pattern(2 * BLOCK), { flips: 5, patterns: ['bit', 'word'], seed: 3 }),
    );
    expect(flips).toHaveLength(1 + 32 + 1 + 32 + 1);
  });

  it('neighbours are 2 to 8 bits, each number of them, and reach the last bit and none beyond', async () => {
    const counts = new Set<number>();
    const ends = new Set<number>();
    for (let seed = 0; seed < 150; seed++) {
      const bits = await draw(pattern(2), { patterns: ['neighbours'], seed });
      expect(bits).toEqual(run(bits[0] ?? -1, bits.length));
      counts.add(bits.length);
      ends.add((bits[0] ?? -1) + bits.length);
    }
    expect([...counts].sort()).toEqual([2, 3, 4, 5, 6, 7, 8]);
    expect(Math.max(...ends)).toBe(16);
  });

  it('of a word or block that the area cuts, the part inside', async () => {
    for (let seed = 0; seed < 12; seed++) {
      expect([run(0, 32), run(32, 8)]).toContainEqual(await draw(pattern(5), { patterns: ['word'], seed }));
    }
    // The last three bytes of the block are padding.
    expect(await draw(pattern(4093), { patterns: ['word'], area: 'padding' })).toEqual(run(4093 * 8, 24));
    expect(await draw(pattern(4097), { patterns: ['block'], area: 'padding' })).toEqual(
      run(4097 * 8, 4095 * 8),
    );
    const blocks = new Set<string>();
    for (let seed = 0; seed < 12; seed++) {
      const bits = await draw(pattern(4097), { patterns: ['block'], seed });
      expect(bits).toEqual(bits[0] === 0 ? run(0, BLOCK * 8) : run(BLOCK * 8, 8));
      blocks.add(String(bits[0]));
    }
    expect(blocks.size).toBe(2);
  });

  it('the last free bits are found by looking, before and behind the one that was drawn', async () => {
    for (const area of ['data', 'padding'] as const) {
      const bytes = pattern(area === 'data' ? 3 : BLOCK - 3);
      const bits = await draw(bytes, { flips: 24, area, seed: 2 });
      expect([...bits].sort((a, b) => a - b)).toEqual(run(area === 'data' ? 0 : (BLOCK - 3) * 8, 24));
      await expect(draw(bytes, { flips: 25, area, seed: 2 })).rejects.toMatchObject({
        code: 'INVALID_INPUT',
        argument: 'flips',
        message: '"flips" leaves no room for another "bit" in 3 bytes',
      });
    }
  });

  it('patterns that find no room say so, with what there is', async () => {
    await expect(draw(pattern(200), { flips: 2, patterns: ['block'] })).rejects.toMatchObject({
      message: '"flips" leaves no room for another "block" in 200 bytes',
    });
    await expect(draw(pattern(BLOCK), { area: 'padding' })).rejects.toMatchObject({
      argument: 'area',
      message: '"area" is "padding", but the last byte of this shard ends its block',
    });
  });

  it('at most a million bits', async () => {
    const bytes = new Uint8Array(200 * BLOCK);
    await expect(draw(bytes, { patterns: ['block'], flips: 31 })).rejects.toMatchObject({
      argument: 'flips',
      message: `"flips" would flip more than ${MAX_DRILL_BITS} bits`,
    });
    expect(MAX_DRILL_BITS).toBe(1_000_000);
    const words = new Uint8Array(2 ** 22);
    expect(await draw(words, { patterns: ['word'], flips: 31_250 })).toHaveLength(1_000_000);
    await expect(draw(words, { patterns: ['word'], flips: 31_251 })).rejects.toMatchObject({
      code: 'INVALID_INPUT',
    });
  });
});

describe('pairs', () => {
  it('are bits of the same value and place in a word, one set and one clear, in any two blocks', async () => {
    const bytes = pattern(BLOCK + 7);
    const value = (bit: number): number => ((bytes[bit >> 3] ?? 0) >> (bit & 7)) & 1;
    const blocks = new Set<string>();
    for (let seed = 0; seed < 60; seed++) {
      const [one = -1, other = -1, ...more] = await draw(bytes, { patterns: ['pair'], seed });
      expect(more).toEqual([]);
      expect(value(one) + value(other)).toBe(1);
      expect(one % 32).toBe(other % 32);
      expect(Math.max(one, other)).toBeLessThan(bytes.length * 8);
      blocks.add(`${one >> 15} ${other >> 15}`);
    }
    expect([...blocks].sort()).toEqual(['0 0', '0 1', '1 0', '1 1']);
  });

  it('read whole blocks, the last one as far as it goes, and nothing for other patterns', async () => {
    const bytes = pattern(BLOCK + 7);
    const reads = new Set<string>();
    const read = async (offset: number, length: number): Promise<Uint8Array> => {
      reads.add(`${offset} ${length}`);
      return bytes.slice(offset, offset + length);
    };
    await draw(bytes, { read, flips: 4, patterns: ['bit', 'neighbours', 'word', 'block'] });
    expect([...reads]).toEqual([]);
    await draw(bytes, { read, flips: 10, patterns: ['pair'] });
    expect([...reads].sort()).toEqual(['0 4096', '4096 7']);
  });

  it('take no bit that was taken', async () => {
    // The two halves differ in each bit: 32 pairs use up all of them.
    const bytes = Uint8Array.from([0, 0, 0, 0, 255, 255, 255, 255]);
    const bits = await draw(bytes, { patterns: ['pair'], flips: 20, seed: 1 });
    expect(new Set(bits).size).toBe(40);
  });

  it('need the area "data", and bytes that differ', async () => {
    for (const area of ['both', 'padding'] as const) {
      await expect(draw(pattern(10), { patterns: ['pair'], area })).rejects.toMatchObject({
        argument: 'patterns',
        message: '"patterns" "pair" needs the area "data"',
      });
    }
    await expect(draw(new Uint8Array(100), { patterns: ['pair'] })).rejects.toMatchObject({
      argument: 'patterns',
      message: '"patterns" has "pair", but no two words of this shard were found that differ in a bit',
    });
  });
});

describe('drill', () => {
  it('[AU-001] reports and tells all of it, before any of it is done', async () => {
    const { manager, recorder } = await openHost();
    const shard = await manager.seal(bytesSource(pattern(3 * BLOCK)), { shardId: 'a', modelRef: 'm' });
    recorder.events.length = 0;
    const report = await manager.drill(shard, { flips: 6, seed: 11, correlationId: 'c' });
    const flips = await drawDamage(planOver(pattern(3 * BLOCK), { flips: 6, seed: 11 }));
    const blocks = [...new Set(flips.map(({ byte }) => Math.floor(byte / BLOCK)))].sort((a, b) => a - b);
    expect(report).toEqual({ shardId: 'a', sealId: shard.sealId, seed: 11, flips, blocks });
    expect(blocks.length).toBeGreaterThan(1);
    expect([report, report.flips, report.blocks].every(Object.isFrozen)).toBe(true);
    const told = {
      at: '2026-01-02T03:04:05.678Z',
      monotonicMs: 1000,
      workerId: 'worker-1',
      correlationId: 'c',
      traceparent: null,
      operation: 'drill',
      operationId: 'drill-3',
      device: { id: 'host', name: 'system memory', uuid: null, residency: 'host', emulated: false },
      durationMs: null,
    };
    const about = { ...told, shardId: 'a', modelRef: 'm' };
    expect(recorder.events).toEqual([
      { ...told, shardId: null, modelRef: null, type: 'operation.started' },
      ...flips.map(({ byte, bit }) => ({
        ...about,
        type: 'drill.injected',
        sealId: shard.sealId,
        byte,
        bit,
      })),
      { ...about, durationMs: 0, type: 'operation.finished', ok: true, error: null },
    ]);
    await manager.close();
  });

  it('by default flips one bit of the data, by a seed of 32 random bits', async () => {
    const drawn = overlay(nodeCrypto, {
      randomBytes: (length: number) => Uint8Array.from({ length }, (_, index) => index + 1),
    });
    const manager = await VramManager.open(
      { device: 'host', workerId: 'w', policy: 'any', drills: true },
      { ...platform(), crypto: drawn },
    );
    const shard = await manager.seal(bytesSource(pattern(100)));
    const { seed, flips } = await manager.drill(shard);
    expect(seed).toBe(0x01020304);
    expect(flips).toEqual(await drawDamage(planOver(pattern(100), { seed })));
    expect(await manager.drill(shard, { seed: Number.MAX_SAFE_INTEGER })).toMatchObject({
      seed: Number.MAX_SAFE_INTEGER,
    });
    await manager.close();
  });

  it.each<[string, object]>([
    ['"patterns" must be an array of 1 to 5 patterns', { patterns: [] }],
    ['"patterns" must be an array of 1 to 5 patterns', { patterns: 'bit' }],
    ['"patterns" must be an array of 1 to 5 patterns', { patterns: { length: 1 } }],
    [
      '"patterns" must be an array of 1 to 5 patterns',
      { patterns: ['bit', 'bit', 'bit', 'bit', 'bit', 'bit'] },
    ],
    [
      '"patterns" must be one of bit, neighbours, word, block, pair, got string',
      { patterns: ['bit', 'stripe'] },
    ],
    ['"area" must be one of data, padding, both, got string', { area: 'all' }],
    ['"flips" must be an integer from 1 to 1000000, got 0', { flips: 0 }],
    ['"flips" must be an integer from 1 to 1000000, got 1000001', { flips: 1_000_001 }],
    ['"seed" must be an integer of at least 0, got -1', { seed: -1 }],
  ])('refuses with words: %s', async (message, options) => {
    const { manager } = await openHost();
    const shard = await manager.seal(bytesSource(pattern(100)));
    expect(await failure(manager.drill(shard, options))).toMatchObject({ code: 'INVALID_INPUT', message });
    await manager.close();
  });

  it('takes five patterns at once', async () => {
    const { manager } = await openHost();
    const shard = await manager.seal(bytesSource(pattern(9 * BLOCK)));
    const patterns = ['bit', 'neighbours', 'word', 'pair', 'bit'] as const;
    const { flips } = await manager.drill(shard, { patterns, flips: 5, seed: 1 });
    expect(flips.length).toBeGreaterThanOrEqual(1 + 2 + 32 + 2 + 1);
    await manager.close();
  });

  it('refuses a device that was not opened for it, with words', async () => {
    const { manager } = await openHost({
      wrap: (device) => wrapRegions(device, (region) => overlay(region, { faults: null })),
    });
    const shard = await manager.seal(bytesSource(pattern(100)));
    expect(await failure(manager.drill(shard))).toMatchObject({
      argument: 'device',
      message: '"device" was not opened with drills: true',
    });
    await manager.close();
  });

  it('strikes each byte once, with all of its bits', async () => {
    const struck: [number, number][] = [];
    const { manager } = await openHost({
      wrap: (device) =>
        wrapRegions(device, (region) =>
          overlay(region, {
            faults: { flip: async (byte: number, mask: number) => void struck.push([byte, mask]) },
          }),
        ),
    });
    const shard = await manager.seal(bytesSource(pattern(4)));
    const { blocks } = await manager.drill(shard, { patterns: ['word'] });
    expect(struck).toEqual([0, 1, 2, 3].map((byte) => [byte, 255]));
    expect(blocks).toEqual([0]);
    struck.length = 0;
    const { flips } = await manager.drill(shard, { flips: 7, seed: 2 });
    const masks = new Map<number, number>();
    for (const { byte, bit } of flips) masks.set(byte, (masks.get(byte) ?? 0) + 2 ** bit);
    expect(struck).toEqual([...masks]);
    await manager.close();
  });

  it('blocks are told in ascending order', async () => {
    const { manager } = await openHost();
    const shard = await manager.seal(bytesSource(pattern(12 * BLOCK)));
    const { blocks } = await manager.drill(shard, { flips: 100, seed: 5 });
    expect(blocks).toEqual(run(0, 12));
    await manager.close();
  });

  it('asks for 1024 records at a time, each flip once; a refusal ends it after those', async () => {
    const recorder = new Recorder(true);
    const { manager } = await openHost({ recorder });
    const shard = await manager.seal(bytesSource(pattern(BLOCK)));
    const { flips } = await manager.drill(shard, { flips: 1025, seed: 1 });
    expect(recorder.of('drill.injected').map(({ byte, bit }) => ({ byte, bit }))).toEqual(flips);
    await manager.drill(shard, { flips: 1024, seed: 1 });
    expect(recorder.of('drill.injected')).toHaveLength(2049);
    let asked = 0;
    recorder.refuse = ({ type }) => type === 'drill.injected' && ++asked === 1024;
    const error = await failure(manager.drill(shard, { flips: 1025, seed: 1 }));
    expect(error).toMatchObject({
      code: 'AUDIT_FAILED',
      message: 'the required observer "recorder" failed',
    });
    expect(asked).toBe(1024);
    expect(await manager.verify(shard).catch(({ code }) => code)).toBe('INTEGRITY_VIOLATION');
    await manager.close();
  });

  describe('ends early', () => {
    const pairs: DrillOptions = { patterns: ['pair'], seed: 1 };

    it('when its signal fires while it draws: nothing is told, nothing flipped', async () => {
      const aborting = new AbortController();
      const { manager, recorder } = await openHost({
        wrap: (device) =>
          wrapRegions(device, (region) =>
            overlay(region, {
              read: async (offset: number, length: number) => {
                aborting.abort('enough');
                return await region.read(offset, length);
              },
            }),
          ),
      });
      const shard = await manager.seal(bytesSource(pattern(100)));
      const error = await failure(manager.drill(shard, { ...pairs, signal: aborting.signal }));
      expect(error).toMatchObject({ code: 'ABORTED', cause: 'enough' });
      expect(recorder.of('drill.injected')).toEqual([]);
      expect(await manager.verify(shard)).toMatchObject({ verified: true });
      await manager.close();
    });

    it('when its signal fires while it waits for a lease', async () => {
      const { manager } = await openHost();
      const shard = await manager.seal(bytesSource(pattern(100)));
      const aborting = new AbortController();
      await manager.execute(shard, async () => {
        const drilled = failure(manager.drill(shard, { signal: aborting.signal }));
        setTimeout(() => aborting.abort(), 3);
        expect(await drilled).toMatchObject({ code: 'ABORTED' });
      });
      await manager.close();
    });

    it('when its shard was released, or its manager stopped, while it waited', async () => {
      const seen = regionsOf();
      const { manager } = await openHost({
        wrap: seen.wrap,
        options: { onVerificationFailure: 'stop' },
      });
      const shard = await manager.seal(bytesSource(pattern(100)));
      const other = await manager.seal(bytesSource(pattern(100)));
      let releasing: Promise<unknown> = Promise.resolve();
      let drilled: Promise<unknown> = Promise.resolve();
      const leased = failure(
        manager.execute(shard, async () => {
          drilled = failure(manager.drill(shard));
          await new Promise((resolve) => setTimeout(resolve, 3));
          releasing = manager.release(shard);
          await new Promise((resolve) => setTimeout(resolve, 3));
        }),
      );
      await leased;
      expect(await drilled).toMatchObject({ code: 'NOT_FOUND' });
      await releasing;
      await seen.flip(1, 0, 1);
      expect(await failure(manager.verify(other))).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
      expect(await failure(manager.drill(other))).toMatchObject({ code: 'STOPPED' });
      await manager.close();
    });
  });
});
