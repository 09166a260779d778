import { describe, expect, it } from 'vitest';
import { VramError } from '../../../../src/base/errors.js';
import type { Region } from '../../../../src/device/index.js';
import { bytesSource, type Source, streamSource } from '../../../../src/source/index.js';
import { failure, openHost, overlay, pattern, Recorder, regionsOf, wrapRegions } from '../fixture.js';

const bytes = pattern(3 * 524_288 + 5000);
const BLOCKS = 386;

/** Counts what is read at positions. */
function counted(source: Source): {
  readonly source: Source;
  readonly reads: { offset: number; length: number }[];
} {
  const reads: { offset: number; length: number }[] = [];
  return {
    reads,
    source: {
      ...source,
      readRange: async (offset, length) => {
        reads.push({ offset, length });
        if (source.readRange === undefined) throw new Error('unreachable');
        return await source.readRange(offset, length);
      },
    },
  };
}

describe.each(['groups', 'leaves'] as const)('heal with %s kept', (keep) => {
  it('[ST-001] repairs only damaged blocks, verifies the whole, and lifts the quarantine', async () => {
    const patched: number[] = [];
    const seen = regionsOf((device) =>
      wrapRegions(device, (region) =>
        overlay(region, {
          patch: async (block: number, data: Uint8Array) => {
            patched.push(block);
            await region.patch(block, data);
          },
        }),
      ),
    );
    const { manager, recorder } = await openHost({ wrap: seen.wrap, options: { keep } });
    const shard = await manager.seal(bytesSource(bytes));
    // A whole block, neighbouring bits, and the zero padding behind the last byte.
    for (let byte = 4096; byte < 8192; byte++) await seen.flip(0, byte, 0xff);
    await seen.flip(0, 8192, 0b11);
    await seen.flip(0, bytes.length, 1);
    expect(await failure(manager.verify(shard))).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
    const { source, reads } = counted(bytesSource(bytes, 'model.bin'));
    const report = await manager.heal(shard, source);
    const healed = [
      { firstBlock: 1, blocks: 2, byteOffset: 4096, byteLength: 8192 },
      { firstBlock: BLOCKS - 1, blocks: 1, byteOffset: 385 * 4096, byteLength: bytes.length - 385 * 4096 },
    ];
    expect(report).toMatchObject({
      healedBlocks: 3,
      healed,
      fsverity: shard.fsverity,
      shardId: shard.shardId,
    });
    expect(patched).toEqual([1, 2, BLOCKS - 1]);
    expect(recorder.of('shard.healed')).toMatchObject([
      { healedBlocks: 3, healed, source: 'model.bin', sealId: shard.sealId },
    ]);
    expect(manager.status().quarantined).toEqual([]);
    expect(await manager.verify(shard)).toMatchObject({ verified: true });
    expect(Buffer.compare((await seen.regions[0]?.read(0, bytes.length)) ?? new Uint8Array(), bytes)).toBe(0);
    if (keep === 'leaves') {
      // Once to check all of it, once to write.
      const once = [4096, 8192, 385 * 4096];
      expect(reads.map(({ offset }) => offset)).toEqual([...once, ...once]);
    } else {
      expect(new Set(reads.map(({ offset }) => offset))).toEqual(new Set([0, 3 * 524_288]));
    }
    await manager.close();
  });

  it('heals nothing from a source that does not match: other bytes, longer, shorter, short answers', async () => {
    const patched: number[] = [];
    const seen = regionsOf((device) =>
      wrapRegions(device, (region) =>
        overlay(region, { patch: async (block: number) => void patched.push(block) }),
      ),
    );
    const { manager, recorder } = await openHost({ wrap: seen.wrap, options: { keep } });
    const shard = await manager.seal(bytesSource(bytes));
    await seen.flip(0, 10, 1);
    await seen.flip(0, 2 * 524_288, 1);
    expect(await failure(manager.verify(shard))).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
    // Right where the first damage is, wrong at the second: nothing of it is used.
    const later = bytes.slice();
    later[2 * 524_288 + 1] = (later[2 * 524_288 + 1] ?? 0) ^ 1;
    const sources: Source[] = [
      bytesSource(pattern(bytes.length, 7)),
      bytesSource(later),
      bytesSource(new Uint8Array([...bytes, 0])),
      bytesSource(bytes.slice(0, -1)),
      { ...bytesSource(bytes), readRange: async (_offset, length) => new Uint8Array(length - 1) },
    ];
    for (const source of sources) {
      const error = await failure(manager.heal(shard, source));
      expect(error).toMatchObject({ code: 'SOURCE_MISMATCH' });
    }
    expect(patched).toEqual([]);
    expect(recorder.of('heal.failed')).toHaveLength(sources.length);
    expect(recorder.of('shard.healed')).toHaveLength(0);
    expect(manager.status().quarantined).toEqual([shard.shardId]);
    await manager.close();
  });

  it('a refused write leaves the quarantine; the next attempt heals', async () => {
    let refuse = true;
    const seen = regionsOf((device) =>
      wrapRegions(device, (region) =>
        overlay(region, {
          patch: async (block: number, data: Uint8Array) => {
            if (refuse && block === 130) throw new VramError('DEVICE_UNAVAILABLE', 'the write was refused');
            await region.patch(block, data);
          },
        }),
      ),
    );
    const { manager } = await openHost({ wrap: seen.wrap, options: { keep } });
    const shard = await manager.seal(bytesSource(bytes));
    await seen.flip(0, 0, 1);
    await seen.flip(0, 130 * 4096, 1);
    expect(await failure(manager.verify(shard))).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
    expect(await failure(manager.heal(shard, bytesSource(bytes)))).toMatchObject({
      code: 'DEVICE_UNAVAILABLE',
    });
    expect(manager.status().quarantined).toEqual([shard.shardId]);
    refuse = false;
    expect(await manager.heal(shard, bytesSource(bytes))).toMatchObject({ healedBlocks: 1 });
    expect(manager.status().quarantined).toEqual([]);
    await manager.close();
  });

  it('damage that comes while healing is healed too, unless it never ends', async () => {
    for (const [times, code] of [
      [2, null],
      [1000, 'INTEGRITY_VIOLATION'],
    ] as const) {
      let flips = 0;
      let region: Region | undefined;
      const seen = regionsOf((device) =>
        wrapRegions(device, (inner) => {
          region = overlay(inner, {
            patch: async (block: number, data: Uint8Array) => {
              await inner.patch(block, data);
              // Behind what was just written, and elsewhere.
              if (flips++ < times) await inner.faults?.flip((flips % 2) * 700_000 + 5, 1);
            },
          });
          return region;
        }),
      );
      const { manager } = await openHost({ wrap: seen.wrap, options: { keep } });
      const shard = await manager.seal(bytesSource(bytes));
      await seen.flip(0, 300 * 4096, 1);
      const healing = manager.heal(shard, bytesSource(bytes));
      if (code === null) {
        expect(await healing).toMatchObject({ healedBlocks: 3 });
        await manager.verify(shard);
      } else {
        expect(await failure(healing)).toMatchObject({ code });
        expect(manager.status().quarantined).toEqual([shard.shardId]);
      }
      await manager.close();
    }
  });

  it('of a sound shard does nothing; of one whose damage nobody had seen yet it says so first', async () => {
    const seen = regionsOf();
    const { manager, recorder } = await openHost({ wrap: seen.wrap, options: { keep } });
    const shard = await manager.seal(bytesSource(bytes));
    expect(await manager.heal(shard, bytesSource(bytes))).toMatchObject({ healedBlocks: 0, healed: [] });
    await seen.flip(0, 5, 1);
    expect(await manager.heal(shard, bytesSource(bytes))).toMatchObject({ healedBlocks: 1 });
    expect(recorder.of('shard.quarantined')).toHaveLength(1);
    expect(manager.status().quarantined).toEqual([]);
    await manager.close();
  });

  it.each([1, 100, 4096, 4097, 524_288, 524_289])('heals shards of %i bytes', async (byteLength) => {
    const seen = regionsOf();
    const { manager } = await openHost({ wrap: seen.wrap, options: { keep } });
    const data = pattern(byteLength);
    const shard = await manager.seal(bytesSource(data));
    await seen.flip(0, byteLength - 1, 0x81);
    expect(await failure(manager.verify(shard))).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
    expect(await manager.heal(shard, bytesSource(data))).toMatchObject({ healedBlocks: 1 });
    expect(await manager.verify(shard)).toMatchObject({ verified: true });
    await manager.close();
  });
});

describe('heal', () => {
  it('refuses sources that cannot be read at a position, and handles that are not genuine', async () => {
    const { manager } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    expect(await failure(manager.heal(shard, streamSource([bytes], bytes.length)))).toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'source',
    });
    expect(await failure(manager.heal(shard, JSON.parse('null')))).toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'source',
    });
    expect(
      await failure(manager.heal({ ...shard.toJSON(), emulated: true }, bytesSource(bytes))),
    ).toMatchObject({
      code: 'SEAL_VERIFICATION_FAILED',
    });
    await manager.release(shard);
    expect(await failure(manager.heal(shard, bytesSource(bytes)))).toMatchObject({ code: 'NOT_FOUND' });
    await manager.close();
  });

  it('[MS-009] damaged hashes on the host heal nothing, and do not make sound bytes look damaged', async () => {
    for (const keep of ['groups', 'leaves'] as const) {
      const kept: Uint8Array[] = [];
      const { createPortableEngine } = await import('../../../../src/digest/index.js');
      const engine = createPortableEngine();
      const seen = regionsOf();
      const { manager } = await openHost({
        wrap: seen.wrap,
        options: {
          keep,
          engine: overlay(engine, {
            start: (request: Parameters<typeof engine.start>[0]) => {
              const stream = engine.start(request);
              return overlay(stream, {
                finish: async () => {
                  const digest = await stream.finish();
                  for (const hashes of [digest.groups, digest.leaves]) if (hashes !== null) kept.push(hashes);
                  return digest;
                },
              });
            },
          }),
        },
      });
      const shard = await manager.seal(bytesSource(bytes));
      const hashes = kept.at(-1);
      if (hashes === undefined) throw new Error('nothing was kept');
      hashes[3] = (hashes[3] ?? 0) ^ 1;
      await manager.verify(shard);
      // Kept leaves are looked at where there is damage to name.
      if (keep === 'leaves') await seen.flip(0, 1, 1);
      const patched = await failure(manager.heal(shard, bytesSource(bytes)));
      expect(patched).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
      expect(patched.message).toContain('retained in host memory');
      hashes[3] = (hashes[3] ?? 0) ^ 1;
      if (keep === 'groups') await seen.flip(0, 1, 1);
      expect(await manager.heal(shard, bytesSource(bytes))).toMatchObject({ healedBlocks: 1 });
      await manager.close();
    }
  });

  it('works on in a stopped manager, which stays stopped', async () => {
    const seen = regionsOf();
    const { manager } = await openHost({ wrap: seen.wrap, options: { onVerificationFailure: 'stop' } });
    const shard = await manager.seal(bytesSource(bytes));
    await seen.flip(0, 1, 1);
    expect(await failure(manager.verify(shard))).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
    expect(await manager.heal(shard, bytesSource(bytes))).toMatchObject({ healedBlocks: 1 });
    expect(manager.status()).toMatchObject({ state: 'stopped', quarantined: [] });
    expect(await failure(manager.execute(shard, () => 1))).toMatchObject({ code: 'STOPPED' });
    await manager.close();
  });

  it('[AU-005] what cannot be recorded lifts no quarantine', async () => {
    const recorder = new Recorder(true);
    const seen = regionsOf();
    const { manager } = await openHost({ wrap: seen.wrap, recorder });
    const shard = await manager.seal(bytesSource(bytes));
    await seen.flip(0, 1, 1);
    expect(await failure(manager.verify(shard))).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
    recorder.refuse = ({ type }) => type === 'shard.healed';
    expect(await failure(manager.heal(shard, bytesSource(bytes)))).toMatchObject({ code: 'AUDIT_FAILED' });
    expect(manager.status().quarantined).toEqual([shard.shardId]);
    recorder.refuse = () => false;
    expect(await manager.heal(shard, bytesSource(bytes))).toMatchObject({ healedBlocks: 0 });
    expect(manager.status().quarantined).toEqual([]);
    await manager.close();
  });

  it('[ST-002] damage that healing itself comes upon stops the manager and is healed all the same', async () => {
    const seen = regionsOf();
    const { manager, recorder } = await openHost({
      wrap: seen.wrap,
      options: { onVerificationFailure: 'stop' },
    });
    const shard = await manager.seal(bytesSource(bytes));
    await seen.flip(0, 5000, 1);
    expect(await manager.heal(shard, bytesSource(bytes))).toMatchObject({ healedBlocks: 1 });
    expect(recorder.types()).toContain('manager.stopped');
    expect(manager.status()).toMatchObject({ state: 'stopped', quarantined: [] });
    await manager.close();
  });

  it.each(['groups', 'leaves'] as const)(
    '[MS-009] with %s kept, writes what it checked, whatever the source does with its buffer',
    async (keep) => {
      const written: Uint8Array[] = [];
      const seen = regionsOf((device) =>
        wrapRegions(device, (region) =>
          overlay(region, {
            patch: async (block: number, data: Uint8Array) => {
              written.push(data.slice());
              await region.patch(block, data);
            },
            nodes: async (...args: Parameters<Region['nodes']>) => {
              const nodes = await region.nodes(...args);
              // Leaves are fetched last before a group's blocks are written.
              if (args[0] === 0) buffer.fill(0xee);
              return nodes;
            },
          }),
        ),
      );
      const { manager } = await openHost({ wrap: seen.wrap, options: { keep } });
      const shard = await manager.seal(bytesSource(bytes));
      await seen.flip(0, 5000, 1);
      const buffer = new Uint8Array(bytes.length);
      const source: Source = {
        ...bytesSource(bytes),
        readRange: async (offset, length) => {
          buffer.set(bytes);
          return buffer.subarray(offset, offset + length);
        },
      };
      await manager.heal(shard, source);
      expect(written).toEqual([bytes.slice(4096, 8192)]);
      await manager.close();
    },
  );

  it('is aborted by its signal between blocks', async () => {
    const seen = regionsOf();
    const { manager } = await openHost({ wrap: seen.wrap });
    const shard = await manager.seal(bytesSource(bytes));
    await seen.flip(0, 1, 1);
    const aborting = new AbortController();
    const source: Source = {
      ...bytesSource(bytes),
      readRange: async (offset, length) => {
        aborting.abort();
        return bytes.slice(offset, offset + length);
      },
    };
    expect(await failure(manager.heal(shard, source, { signal: aborting.signal }))).toMatchObject({
      code: 'ABORTED',
    });
    expect(manager.status().quarantined).toEqual([shard.shardId]);
    await manager.close();
  });
});
