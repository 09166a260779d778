import { describe, expect, it } from 'vitest';
import { VramError } from '../../src/base/errors.js';
import type { Region } from '../../src/device/index.js';
import type { RunOptions } from '../../src/device/types.js';
import type { OperationEvent } from '../../src/events/events.js';
import type { ScrubOptions } from '../../src/manager/index.js';
import { bytesSource, type Source, streamSource } from '../../src/source/index.js';
import {
  failure,
  lieAboutRoot,
  openHost,
  overlay,
  pattern,
  Recorder,
  regionsOf,
  type TestClock,
  wrapRegions,
} from './manager-fixture.js';

// Facts about filling, healing and scrubbing that mutation testing showed nobody checked.

const GROUP = 524_288;
const bytes = pattern(GROUP + 5000);

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}

const stages = (recorder: Recorder, operation: OperationEvent['operation']) =>
  recorder
    .of('operation.stage')
    .filter((event) => event.operation === operation)
    .map(({ stage, byteLength, durationMs }) => [stage, byteLength, durationMs]);

/** A manager whose clock is turned by each step of the device and of the source. */
async function timed(turns: { write?: number; root?: number; patch?: number }) {
  let clock: TestClock | null = null;
  const turn = (ms: number | undefined): void => clock?.turn(ms ?? 0);
  const opened = await openHost({
    options: { keep: 'leaves' },
    wrap: (device) =>
      wrapRegions(device, (region) =>
        overlay(region, {
          write: async (...args: Parameters<Region['write']>) => {
            await region.write(...args);
            turn(turns.write);
          },
          root: async (options?: RunOptions) => {
            turn(turns.root);
            return await region.root(options);
          },
          patch: async (...args: Parameters<Region['patch']>) => {
            turn(turns.patch);
            await region.patch(...args);
          },
        }),
      ),
  });
  clock = opened.clock;
  return opened;
}

describe('filling a region', () => {
  /** Gives its bytes in chunks of `size`, and turns the clock by 5 ms before each. */
  function slowly(data: Uint8Array, size: number, clock: TestClock): Source {
    return streamSource(
      (async function* () {
        for (let at = 0; at < data.length; at += size) {
          clock.turn(5);
          yield data.subarray(at, at + size);
        }
      })(),
      data.length,
      'slow',
    );
  }

  it('tells how long reading, hashing and copying took, added up over its chunks', async () => {
    const { manager, recorder, clock } = await timed({ write: 7 });
    const data = pattern(10_000);
    await manager.seal(slowly(data, 4_000, clock));
    const [read, hash, upload] = stages(recorder, 'seal');
    expect(read).toEqual(['read', 10_000, 15]);
    expect([hash?.[0], hash?.[1]]).toEqual(['hash', 10_000]);
    expect(upload).toEqual(['upload', 10_000, 21]);
    await manager.close();
  });

  it('takes exactly the bytes that the source announced', async () => {
    const { manager } = await openHost();
    const sealing = (gives: readonly Uint8Array[], announced: number) =>
      manager.seal({
        ...bytesSource(new Uint8Array(announced), 'odd.bin'),
        stream: async function* () {
          yield* gives;
        },
      });
    const ten = new Uint8Array(10);
    expect((await failure(sealing([ten, new Uint8Array(1)], 10))).message).toBe(
      'the source "odd.bin" gave more than 10 bytes; nothing was sealed',
    );
    expect((await failure(sealing([ten], 11))).message).toBe(
      'the source "odd.bin" gave 10 instead of 11 bytes; nothing was sealed',
    );
    expect((await sealing([ten.subarray(0, 4), ten.subarray(4)], 10)).byteLength).toBe(10);
    await manager.close();
  });

  it('refuses a source that gives something else, and wraps what a source throws', async () => {
    const { manager } = await openHost();
    const odd = (stream: () => AsyncIterable<unknown>): Source =>
      ({ ...bytesSource(bytes), stream }) as unknown as Source;
    const wrong = await failure(
      manager.seal(
        odd(async function* () {
          yield 'text';
        }),
      ),
    );
    expect(wrong).toMatchObject({ code: 'INVALID_INPUT', argument: 'source' });
    expect(wrong.message).toBe('"source" must give Uint8Array chunks');
    const cause = new Error('the network is down');
    const broken = await failure(
      manager.seal(
        odd(async function* () {
          yield bytes.subarray(0, 5);
          throw cause;
        }),
      ),
    );
    expect(broken).toMatchObject({ code: 'INVALID_INPUT', argument: 'source', cause });
    expect(broken.message).toBe('"source" failed while it was read');
    const own = new VramError('SOURCE_MISMATCH', 'its own');
    expect(
      await failure(
        manager.seal(
          odd(async function* () {
            yield bytes.subarray(0, 5);
            throw own;
          }),
        ),
      ),
    ).toBe(own);
    await manager.close();
  });

  it('that is aborted says so, whatever the source threw because of it', async () => {
    const { manager } = await openHost();
    const abort = new AbortController();
    const cause = new Error('reading was no longer wanted');
    let given: AbortSignal | undefined;
    const source = {
      ...bytesSource(bytes),
      stream: async function* (options?: { signal?: AbortSignal }) {
        given = options?.signal;
        yield bytes.subarray(0, 5);
        abort.abort(cause);
        throw new Error('reading was cut off');
      },
    } as unknown as Source;
    const error = await failure(manager.seal(source, { signal: abort.signal }));
    expect(error).toMatchObject({ code: 'ABORTED', cause });
    expect(error.message).toBe('the operation was aborted by its signal');
    expect(given).toBeInstanceOf(AbortSignal);
    await manager.close();
  });
});

describe('healing', () => {
  it.each<[string, unknown, string]>([
    [
      'nothing',
      undefined,
      '"source" must be a source: see fileSource, urlSource, bytesSource and streamSource',
    ],
    ['null', null, '"source" must be a source: see fileSource, urlSource, bytesSource and streamSource'],
    [
      'a path',
      'model.bin',
      '"source" must be a source: see fileSource, urlSource, bytesSource and streamSource',
    ],
    [
      'an object',
      { readRange: () => bytes },
      '"source" must be a source: see fileSource, urlSource, bytesSource and streamSource',
    ],
    [
      'a stream',
      streamSource((async function* () {})(), 5, 'stream'),
      '"source" cannot be read at a position, so it cannot heal',
    ],
  ])('from %s is refused', async (_, source, message) => {
    const { manager, recorder } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    const error = await failure(manager.heal(shard, source as Source));
    expect(error).toMatchObject({ code: 'INVALID_INPUT', argument: 'source', message });
    expect(recorder.types('heal')).toEqual(['operation.started', 'validation.failed', 'operation.finished']);
    await manager.close();
  });

  it('tells its stages, what it read and how long it took', async () => {
    const { manager, recorder } = await timed({ root: 3, patch: 2 });
    const shard = await manager.seal(bytesSource(bytes, 'model.bin'));
    await manager.drill(shard, { patterns: ['bit'], flips: 1, seed: 1 });
    recorder.events.length = 0;
    const report = await manager.heal(shard, bytesSource(bytes, 'model.bin'));
    const { healed } = report;
    const length = healed[0]?.byteLength ?? 0;
    expect(report).toEqual({
      shardId: shard.shardId,
      sealId: shard.sealId,
      healedBlocks: 1,
      healed: [
        { firstBlock: expect.any(Number), blocks: 1, byteOffset: expect.any(Number), byteLength: length },
      ],
      // Checked first, then read again to be written.
      sourceBytes: 2 * length,
      fsverity: shard.fsverity,
      durationMs: 5,
    });
    expect(stages(recorder, 'heal')).toEqual([
      ['compare', null, 0],
      ['patch', null, 2],
      ['device-tree', bytes.length, 3],
    ]);
    expect(recorder.of('shard.healed')).toMatchObject([{ durationMs: 5, source: 'model.bin' }]);
    await manager.close();
  });

  it('names the healed blocks in their order, wherever the damage was found first', async () => {
    const seen = regionsOf();
    const { manager } = await openHost({ wrap: seen.wrap, options: { keep: 'groups' } });
    const shard = await manager.seal(bytesSource(bytes));
    for (const byte of [GROUP + 4096, 5 * 4096, 12 * 4096]) await seen.flip(0, byte, 1);
    const report = await manager.heal(shard, bytesSource(bytes));
    expect(report.healed.map(({ firstBlock }) => firstBlock)).toEqual([5, 12, 129]);
    expect(report.sourceBytes).toBe(2 * bytes.length);
    await manager.close();
  });

  it('of a shard that is as sealed heals nothing and reads nothing', async () => {
    const { manager } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    expect(await manager.heal(shard, bytesSource(bytes))).toMatchObject({
      healedBlocks: 0,
      healed: [],
      sourceBytes: 0,
    });
    await manager.close();
  });

  it('from other bytes says of which source', async () => {
    const { manager, recorder } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    const error = await failure(manager.heal(shard, bytesSource(pattern(7), 'other.bin')));
    expect(error.message).toBe(
      'the source "other.bin" does not hold the bytes that were sealed; nothing was healed',
    );
    expect(recorder.of('heal.failed')).toMatchObject([
      {
        sealId: shard.sealId,
        error: { code: 'SOURCE_MISMATCH', kind: 'invalid', message: error.message },
        durationMs: 0,
      },
    ]);
    await manager.close();
  });

  it('gives up on memory that fails again and again, and on a device that contradicts itself', async () => {
    const again = regionsOf((device) =>
      wrapRegions(device, (region) => overlay(region, { patch: async () => undefined })),
    );
    const first = await openHost({ wrap: again.wrap, options: { keep: 'leaves' } });
    const shard = await first.manager.seal(bytesSource(bytes));
    await again.flip(0, 0, 1);
    const error = await failure(first.manager.heal(shard, bytesSource(bytes)));
    expect(error.message).toBe(
      'the bytes were damaged again 3 times while they were healed; release the shard',
    );
    expect(error.code).toBe('INTEGRITY_VIOLATION');
    expect(stages(first.recorder, 'heal').filter(([stage]) => stage === 'patch')).toHaveLength(3);
    await first.manager.close();

    let lie = false;
    const second = await openHost({
      wrap: (device) =>
        wrapRegions(device, (region) =>
          overlay(region, {
            root: async (options?: RunOptions) => {
              const found = await region.root(options);
              if (lie) found.root[0] = (found.root[0] ?? 0) ^ 1;
              lie = false;
              return found;
            },
          }),
        ),
    });
    const other = await second.manager.seal(bytesSource(bytes));
    lie = true;
    const torn = await failure(second.manager.heal(other, bytesSource(bytes)));
    expect(torn).toMatchObject({ code: 'DEVICE_UNAVAILABLE' });
    expect(torn.message).toBe('the device gave two digests of the same bytes');
    await second.manager.close();
  });

  it('does nothing that a required observer has not heard of', async () => {
    const recorder = new Recorder(true);
    const seen = regionsOf();
    const { manager } = await openHost({ recorder, wrap: seen.wrap, options: { keep: 'leaves' } });
    const shard = await manager.seal(bytesSource(bytes));
    await seen.flip(0, 0, 1);
    recorder.refuse = ({ type }) => type === 'shard.quarantined';
    expect(await failure(manager.heal(shard, bytesSource(bytes)))).toMatchObject({ code: 'AUDIT_FAILED' });
    const damaged = await seen.regions[0]?.read(0, 1);
    expect(damaged?.[0]).toBe((bytes[0] ?? 0) ^ 1);
    expect(recorder.of('shard.healed')).toEqual([]);
    await manager.close();
  });
});

describe('scrubbing', () => {
  it.each([undefined, null, 5])('without options (%s) is refused', async (options) => {
    const { manager } = await openHost();
    expect(() => manager.scrub(options as unknown as ScrubOptions)).toThrow(
      expect.objectContaining({
        code: 'INVALID_INPUT',
        argument: 'options',
        message: '"options" must be an object',
      }),
    );
    await manager.close();
  });

  it('tells how long a pass took, and of nothing once it was stopped', async () => {
    const { manager, recorder, clock } = await openHost();
    await manager.seal(bytesSource(bytes), { shardId: 'a' });
    const scrubber = manager.scrub({ intervalMs: 10_000, bytesPerSecond: 2 ** 40 });
    await until(() => recorder.of('scrub.finished').length === 1);
    expect(recorder.of('scrub.finished')).toMatchObject([
      { shardId: 'a', byteLength: bytes.length, ok: true, durationMs: 0 },
    ]);
    expect(clock.monotonic()).toBe(1000);
    await scrubber.stop();
    await manager.close();
  });

  it('ends with the manager', async () => {
    const { manager } = await openHost();
    const scrubber = manager.scrub({ intervalMs: 10_000, bytesPerSecond: 2 ** 40 });
    await manager.close();
    await scrubber.ended;
    expect(scrubber.report()).toEqual([]);
  });

  it('leaves what is in quarantine alone from the first round on', async () => {
    const seen = regionsOf();
    const { manager, recorder } = await openHost({ wrap: seen.wrap });
    const shard = await manager.seal(bytesSource(bytes), { shardId: 'a' });
    await manager.seal(bytesSource(bytes), { shardId: 'b' });
    await seen.flip(0, 0, 1);
    await failure(manager.verify(shard));
    const scrubber = manager.scrub({ intervalMs: 10_000, bytesPerSecond: 2 ** 40 });
    await until(() => recorder.of('scrub.finished').length === 1);
    await scrubber.stop();
    expect(recorder.types('scrub').filter((type) => type === 'operation.started')).toHaveLength(1);
    expect(recorder.of('scrub.finished')).toMatchObject([{ shardId: 'b' }]);
    await manager.close();
  });

  it('tells of a look that differed once, and does not call the shard damaged', async () => {
    let flicker = 1;
    const { manager, recorder } = await openHost({
      wrap: (device) =>
        wrapRegions(device, (region) =>
          overlay(region, {
            nodes: async (...args: Parameters<Region['nodes']>) => {
              const nodes = await region.nodes(...args);
              if (flicker-- > 0) nodes[0] = (nodes[0] ?? 0) ^ 1;
              return nodes;
            },
          }),
        ),
    });
    const shard = await manager.seal(bytesSource(bytes), { shardId: 'a' });
    const scrubber = manager.scrub({ intervalMs: 10_000, bytesPerSecond: 2 ** 40 });
    await until(() => recorder.of('scrub.finished').length === 1);
    await scrubber.stop();
    expect(recorder.of('scrub.finished')).toMatchObject([{ ok: false }]);
    expect(recorder.of('seal.verification_failed')).toMatchObject([
      {
        error: {
          code: 'DEVICE_UNAVAILABLE',
          message: 'a group differed once and verified when it was looked at again',
        },
        sealId: shard.sealId,
        mode: 'sampled',
        expectedDigest: shard.fsverity,
        actualDigest: null,
        transient: true,
        damaged: [],
        damagedGroups: 0,
      },
    ]);
    expect(recorder.of('seal.verified')).toMatchObject([{ mode: 'resident' }]);
    expect(manager.status().quarantined).toEqual([]);
    await manager.close();
  });

  it('checks shards of one age in the order in which they were sealed', async () => {
    const { manager, recorder } = await openHost();
    for (const shardId of ['c', 'a', 'b']) await manager.seal(bytesSource(pattern(5)), { shardId });
    const scrubber = manager.scrub({ intervalMs: 10_000, bytesPerSecond: 2 ** 40 });
    await until(() => recorder.of('scrub.finished').length === 3);
    await scrubber.stop();
    expect(recorder.of('scrub.finished').map(({ shardId }) => shardId)).toEqual(['c', 'a', 'b']);
    await manager.close();
  });

  it('goes on to the next shard if the device fails on one, and does not heal on its word', async () => {
    let broken = true;
    let opened = 0;
    const { manager, recorder } = await openHost({
      wrap: (device) =>
        lieAboutRoot(
          wrapRegions(device, (region) =>
            overlay(region, {
              nodes: async (...args: Parameters<Region['nodes']>) => {
                if (broken) {
                  broken = false;
                  throw new VramError('DEVICE_UNAVAILABLE', 'injected');
                }
                return await region.nodes(...args);
              },
            }),
          ),
          0,
        ),
    });
    const reopen = async () => {
      opened += 1;
      return { ...bytesSource(bytes), close: async () => undefined };
    };
    await manager.seal(bytesSource(bytes), { shardId: 'a', reopen });
    await manager.seal(bytesSource(bytes), { shardId: 'b' });
    const scrubber = manager.scrub({ intervalMs: 10_000, bytesPerSecond: 2 ** 40, heal: true });
    await until(() => recorder.of('scrub.finished').length === 1);
    await scrubber.stop();
    expect(recorder.of('scrub.finished')).toMatchObject([{ shardId: 'b', ok: true }]);
    expect(opened).toBe(0);
    expect(manager.status().quarantined).toEqual([]);
    await manager.close();
  });

  it('finds damage and leaves it, if it may not heal or knows no source', async () => {
    for (const heal of [false, true]) {
      const seen = regionsOf();
      const { manager, recorder } = await openHost({ wrap: seen.wrap });
      let opened = 0;
      const reopen = async () => {
        opened += 1;
        return { ...bytesSource(bytes), close: async () => undefined };
      };
      await manager.seal(bytesSource(bytes), { shardId: 'a', ...(heal ? {} : { reopen }) });
      await seen.flip(0, 0, 1);
      const scrubber = manager.scrub({ intervalMs: 10_000, bytesPerSecond: 2 ** 40, heal });
      await until(() => recorder.of('scrub.finished').length === 1);
      await scrubber.stop();
      expect(recorder.of('scrub.finished')).toMatchObject([{ ok: false }]);
      expect(recorder.of('heal.failed')).toEqual([]);
      expect([opened, manager.status().quarantined]).toEqual([0, ['a']]);
      await manager.close();
    }
  });
});
