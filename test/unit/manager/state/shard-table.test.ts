import { describe, expect, it } from 'vitest';
import { bytesSource } from '../../../../src/source/index.js';
import { failure, openHost, pattern } from '../fixture.js';

describe('names of live shards', () => {
  it('a name that is taken is refused with what to do', async () => {
    const { manager } = await openHost();
    await manager.seal(bytesSource(pattern(100)), { shardId: 'a' });
    expect(await failure(manager.seal(bytesSource(pattern(100)), { shardId: 'a' }))).toMatchObject({
      message: '"shardId" is the id of a live shard: release that one first or choose another id',
    });
    await manager.close();
  });

  it('a place in a set that is taken, or another size of the set, is refused with both figures', async () => {
    const { manager } = await openHost();
    const part = (shardIndex: number, totalShards: number): Promise<unknown> =>
      manager.seal(bytesSource(pattern(100)), { modelRef: 'm', shardIndex, totalShards });
    await part(0, 2);
    expect(await failure(part(0, 2))).toMatchObject({
      message: '"shardIndex" is 0, which is the index of a live shard of this model',
    });
    expect(await failure(part(1, 3))).toMatchObject({
      message: '"totalShards" is 3, but live shards of this model say 2',
    });
    await manager.close();
  });
});
