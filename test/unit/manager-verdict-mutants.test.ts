import { describe, expect, it } from 'vitest';
import { VramError } from '../../src/base/errors.js';
import type { Region } from '../../src/device/index.js';
import { createPortableEngine, type DigestStream } from '../../src/digest/index.js';
import type { Operation } from '../../src/events/operation.js';
import { fillRegion } from '../../src/manager/operations/fill.js';
import { type LiveShard, ShardTable } from '../../src/manager/state/shard-table.js';
import { sourceFailure } from '../../src/source/failure.js';
import { bytesSource, type Source } from '../../src/source/index.js';
import {
  failure,
  lieAboutRoot,
  openHost,
  overlay,
  pattern,
  Recorder,
  readerOver,
  regionsOf,
  TestClock,
  wrapRegions,
} from './manager-fixture.js';

const GROUP = 524_288;
const bytes = pattern(10_000);
const TRACE = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

describe('filling a region', () => {
  const soon = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));

  /** A source of chunks, each of which takes five milliseconds. */
  function chunks(clock: TestClock, ...lengths: number[]): Source {
    return {
      ...bytesSource(new Uint8Array(100)),
      label: 'weights',
      async *stream() {
        for (const length of lengths) {
          clock.turn(5);
          yield new Uint8Array(length);
        }
        clock.turn(500);
      },
    };
  }

  function parts() {
    const clock = new TestClock();
    const stages: unknown[] = [];
    const operation = { clock, stageDone: async (...stage: unknown[]) => void stages.push(stage) };
    const written: unknown[] = [];
    const region = {
      byteLength: 100,
      write: async (offset: number, { length }: Uint8Array) => {
        await Promise.resolve();
        clock.turn(3);
        written.push([offset, length]);
      },
    };
    const digest = {
      update: async () => {
        await soon();
        clock.turn(2);
      },
    };
    const fill = (source: Source, options: Parameters<typeof fillRegion>[4] = {}): Promise<void> =>
      fillRegion(
        operation as unknown as Operation,
        readerOver(source, { clock, ends: [options.signal] }),
        region as unknown as Region,
        digest as unknown as DigestStream,
        options,
      );
    return { clock, stages, written, fill, digest };
  }

  it('tells what reading, hashing and uploading took, each for itself', async () => {
    const { clock, stages, written, fill } = parts();
    await fill(chunks(clock, 60, 40));
    // Both begin together; the upload is done three milliseconds later, the hash another two.
    expect(stages).toEqual([
      ['read', 100, 1000, 10],
      ['hash', 100, 1000, 10],
      ['upload', 100, 1000, 6],
    ]);
    expect(written).toEqual([
      [0, 60],
      [60, 40],
    ]);
  });

  it('refuses too much and too little with figures, and tells no stage then', async () => {
    for (const [lengths, gave] of [
      [[101], 'more than 100'],
      [[60, 41], 'more than 100'],
      [[60, 39], '99 instead of 100'],
      [[], '0 instead of 100'],
    ] as const) {
      const { clock, stages, fill } = parts();
      expect(await failure(fill(chunks(clock, ...lengths)))).toMatchObject({
        code: 'SOURCE_MISMATCH',
        message: `the source "weights" gave ${gave} bytes; nothing was sealed`,
      });
      expect(stages).toEqual([]);
    }
  });

  it('asks the source for chunks of 2 MiB, under a signal that fires with the operation', async () => {
    const asked: { chunkBytes: number; signal?: AbortSignal | undefined }[] = [];
    const { fill } = parts();
    const aborting = new AbortController();
    let onHalf = (): void => undefined;
    const source: Source = {
      ...bytesSource(new Uint8Array(100)),
      async *stream(options) {
        asked.push(options);
        yield new Uint8Array(50);
        onHalf();
        yield new Uint8Array(50);
      },
    };
    await fill(source);
    onHalf = () => aborting.abort('enough');
    expect(await failure(fill(source, { signal: aborting.signal }))).toMatchObject({ code: 'ABORTED' });
    expect(asked.map(({ chunkBytes }) => chunkBytes)).toEqual([2 ** 21, 2 ** 21]);
    expect(asked.map(({ signal }) => signal?.reason)).toEqual([undefined, 'enough']);
  });

  it('says what was wrong with the source', async () => {
    const { clock, fill, digest } = parts();
    const source: Source = {
      ...bytesSource(new Uint8Array(100)),
      async *stream() {
        yield JSON.parse('[1]');
      },
    };
    expect(await failure(fill(source))).toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'source',
      message: '"source" must give Uint8Array chunks',
    });
    const own = new Error('mine');
    expect(sourceFailure(own, undefined)).toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'source',
      message: '"source" failed while it was read',
      cause: own,
    });
    expect(sourceFailure(own, new AbortController().signal)).toMatchObject({ code: 'INVALID_INPUT' });
    expect(sourceFailure(own, AbortSignal.abort())).toMatchObject({
      code: 'ABORTED',
      message: 'the operation was aborted by its signal',
      cause: own,
    });
    const ours = new VramError('NOT_FOUND', 'ours');
    expect(sourceFailure(ours, AbortSignal.abort())).toBe(ours);
    digest.update = async () => {
      throw own;
    };
    expect(await failure(fill(chunks(clock, 100)))).toBe(own);
  });
});

describe('seal', () => {
  it('[AU-001] tells each step with what it is about', async () => {
    const { manager, recorder } = await openHost();
    const shard = await manager.seal(bytesSource(bytes), { modelRef: 'm', shardIndex: 1, totalShards: 2 });
    const { sealId, sha256, fsverity, sealedAt } = shard;
    const whole = { byteLength: 10_000, fsverity, durationMs: 0 };
    expect(recorder.of('digest.computed')).toMatchObject([
      { ...whole, where: 'host', sha256, engine: 'wasm' },
      { ...whole, where: 'device', sha256: null, engine: 'host' },
    ]);
    expect(recorder.of('signature.generated')).toMatchObject([{ sealId, durationMs: 0 }]);
    expect(recorder.of('vram.sealed')).toMatchObject([
      {
        ...whole,
        sealId,
        sha256,
        residency: 'host',
        immutability: 'api-only',
        sealedAt,
        shardIndex: 1,
        totalShards: 2,
      },
    ]);
    expect(
      recorder
        .of('operation.stage')
        .map(({ stage, byteLength, durationMs }) => [stage, byteLength, durationMs]),
    ).toEqual([
      ['read', 10_000, 0],
      ['hash', 10_000, 0],
      ['upload', 10_000, 0],
      ['freeze', null, 0],
      ['device-tree', 10_000, 0],
      ['sign', null, 0],
    ]);
    await manager.close();
  });

  it('frees the digest, also when it fails', async () => {
    const engine = createPortableEngine();
    let freed = 0;
    const watched = overlay(engine, {
      start: (request: Parameters<typeof engine.start>[0]) => {
        const stream = engine.start(request);
        return overlay(stream, {
          abort: () => {
            freed++;
            stream.abort();
          },
        });
      },
    });
    const { manager } = await openHost({ options: { engine: watched } });
    await manager.seal(bytesSource(bytes));
    expect(freed).toBe(1);
    await failure(manager.seal({ ...bytesSource(bytes), byteLength: 9 }));
    expect(freed).toBe(2);
    await manager.close();
  });

  it.each([
    [1, 'DEVICE_UNAVAILABLE', 'the device gave two different digests of the same bytes; nothing was sealed'],
    [2, 'INTEGRITY_VIOLATION', 'the bytes in device memory are not those of the source; nothing was sealed'],
  ] as const)(
    '[CI-004] bytes that did not arrive are told whole: %d looks that differ',
    async (lies, code, message) => {
      for (const heard of [true, false]) {
        const recorder = new Recorder(true);
        const { manager } = await openHost({ recorder, wrap: (device) => lieAboutRoot(device, lies) });
        if (!heard) recorder.refuse = ({ type }) => type === 'seal.verification_failed';
        const error = await failure(manager.seal(bytesSource(bytes)));
        expect(error).toMatchObject({ code, message });
        expect(error.cause).toEqual(heard ? undefined : expect.objectContaining({ code: 'AUDIT_FAILED' }));
        const [host] = recorder.of('digest.computed');
        expect(recorder.of('seal.verification_failed')).toMatchObject(
          heard
            ? [
                {
                  sealId: null,
                  mode: 'resident',
                  error: { code, message },
                  expectedDigest: host?.fsverity,
                  actualDigest: expect.stringMatching(/^fsverity-sha256-12:[0-9a-f]{64}$/),
                  transient: lies === 1,
                  damaged: [],
                  damagedGroups: 0,
                  durationMs: 0,
                },
              ]
            : [],
        );
        const [told] = recorder.of('seal.verification_failed');
        if (told !== undefined) expect(told.actualDigest).not.toBe(told.expectedDigest);
        await manager.close();
      }
    },
  );
});

describe('verdicts', () => {
  const large = pattern(2 * GROUP + 5000);

  it.each([
    ['leaves', '3 blocks of 4096 bytes; heal it from its source or release it'],
    ['groups', '2 groups of 512 KiB; heal it from its source or release it'],
  ] as const)('say how much is damaged, as exactly as is known: %s kept', async (keep, what) => {
    const seen = regionsOf();
    const { manager, recorder } = await openHost({ wrap: seen.wrap, options: { keep } });
    const shard = await manager.seal(bytesSource(large), { shardId: 'a' });
    for (const block of [0, 1, 257]) await seen.flip(0, block * 4096, 1);
    recorder.events.length = 0;
    const error = await failure(manager.verify(shard));
    const message = `the resident bytes of shard "a" are damaged: ${what}`;
    expect(error).toMatchObject({ code: 'INTEGRITY_VIOLATION', message });
    expect(error.cause).toBeUndefined();
    const { report } = error as { report: { actual: string; damaged: unknown } };
    expect(report).toEqual({
      verified: false,
      shardId: 'a',
      sealId: shard.sealId,
      mode: 'resident',
      byteLength: large.length,
      expected: shard.fsverity,
      actual: expect.stringMatching(/^fsverity-sha256-12:/),
      sampled: false,
      sample: null,
      transient: false,
      damaged: expect.any(Array),
      damagedGroups: 2,
      exact: keep === 'leaves',
      startedAt: '2026-01-02T03:04:05.678Z',
      durationMs: 0,
    });
    expect(recorder.of('seal.verification_failed')).toMatchObject([
      {
        sealId: shard.sealId,
        mode: 'resident',
        error: {
          code: 'INTEGRITY_VIOLATION',
          kind: 'fatal',
          scope: 'shard',
          message: 'the resident bytes of shard "a" are damaged; heal it from its source or release it',
        },
        expectedDigest: shard.fsverity,
        actualDigest: report.actual,
        transient: false,
        damaged: null,
        damagedGroups: null,
        durationMs: 0,
      },
    ]);
    expect(recorder.of('damage.located')).toMatchObject([
      {
        sealId: shard.sealId,
        damaged: report.damaged,
        damagedGroups: 2,
        exact: keep === 'leaves',
        error: null,
      },
    ]);
    await manager.close();
  });

  it('say that the place could not be found where that is so', async () => {
    const seen = regionsOf((device) =>
      wrapRegions(device, (region) =>
        overlay(region, {
          nodes: async (level: number, first: number, count: number) => {
            await seen.flip(0, 0, 1);
            const nodes = await region.nodes(level, first, count);
            await seen.flip(0, 0, 1);
            return nodes;
          },
        }),
      ),
    );
    const { manager, recorder } = await openHost({ wrap: seen.wrap });
    const shard = await manager.seal(bytesSource(bytes), { shardId: 'a' });
    await seen.flip(0, 0, 1);
    const error = await failure(manager.verify(shard));
    expect(recorder.of('damage.located')).toMatchObject([{ damaged: [], damagedGroups: 0, error: null }]);
    expect(error.message).toBe('the resident bytes of shard "a" are damaged: the place could not be found');
    expect(error.report).toMatchObject({ damaged: [], damagedGroups: 0, exact: true });
    await manager.close();
  });

  it('[AU-001] that are clean are told and reported whole', async () => {
    const { manager, recorder } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    await manager.verify(shard, { mode: 'readback' });
    expect(recorder.of('seal.verified')).toMatchObject([
      {
        sealId: shard.sealId,
        mode: 'readback',
        byteLength: 10_000,
        fsverity: shard.fsverity,
        durationMs: 0,
        shardId: shard.shardId,
      },
    ]);
    await manager.close();
  });

  it('[CI-010] [AU-005] of two looks that differ say so, and keep saying so when that cannot be recorded', async () => {
    const message =
      'two looks at the same bytes gave two digests: neither clean nor proof of damage; verify again';
    for (const heard of [true, false]) {
      const recorder = new Recorder(true);
      let lies = 0;
      const { manager } = await openHost({
        recorder,
        wrap: (device) =>
          wrapRegions(device, (region) =>
            overlay(region, {
              root: async () => {
                const { root, blocks } = await region.root();
                if (lies-- > 0) root[0] = (root[0] ?? 0) ^ 1;
                return { root, blocks };
              },
            }),
          ),
      });
      const shard = await manager.seal(bytesSource(bytes));
      lies = 1;
      if (!heard) recorder.refuse = ({ type }) => type === 'seal.verification_failed';
      const error = await failure(manager.verify(shard));
      expect(error).toMatchObject({
        code: 'DEVICE_UNAVAILABLE',
        message,
        report: { transient: true, verified: false, sealId: shard.sealId },
      });
      expect(error.cause).toEqual(heard ? undefined : expect.objectContaining({ code: 'AUDIT_FAILED' }));
      await manager.close();
    }
  });

  it.each([
    ['seal.verification_failed', 'quarantine'],
    ['shard.quarantined', 'quarantine'],
    ['damage.located', 'quarantine'],
    ['manager.stopped', 'stop'],
  ] as const)(
    '[AU-005] of damage have what was not heard as their cause: %s',
    async (type, onVerificationFailure) => {
      const recorder = new Recorder(true);
      const seen = regionsOf();
      const { manager } = await openHost({ recorder, wrap: seen.wrap, options: { onVerificationFailure } });
      const shard = await manager.seal(bytesSource(bytes));
      await seen.flip(0, 0, 1);
      recorder.refuse = (event) => event.type === type;
      expect(await failure(manager.verify(shard))).toMatchObject({
        code: 'INTEGRITY_VIOLATION',
        report: { damagedGroups: 1 },
        cause: { code: 'AUDIT_FAILED' },
      });
      await manager.close();
    },
  );

  it('count from the latest beginning, whichever verification ends last', async () => {
    const clock = new TestClock();
    let inside: (() => Promise<unknown>) | undefined;
    const { manager, recorder } = await openHost({
      options: { clock },
      wrap: (device) =>
        wrapRegions(device, (region) =>
          overlay(region, {
            root: async () => {
              const act = inside;
              inside = undefined;
              await act?.();
              return await region.root();
            },
          }),
        ),
    });
    const shard = await manager.seal(bytesSource(bytes));
    inside = async () => {
      clock.turn(100);
      await manager.verify(shard);
    };
    await manager.verify(shard);
    expect(recorder.of('seal.verified')).toHaveLength(2);
    await manager.execute(shard, () => 0, { maxAgeMs: 0 });
    expect(recorder.of('seal.verified')).toHaveLength(2);
    await manager.close();
  });

  it('of damage in a shard that is being released leave it in release', async () => {
    let releasing: Promise<unknown> | undefined;
    const seen = regionsOf((device) =>
      wrapRegions(device, (region) =>
        overlay(region, {
          root: async () => {
            releasing ??= armed?.();
            await new Promise((resolve) => setTimeout(resolve, 2));
            return await region.root();
          },
        }),
      ),
    );
    let armed: (() => Promise<unknown>) | undefined;
    const { manager, recorder } = await openHost({ wrap: seen.wrap });
    const shard = await manager.seal(bytesSource(bytes));
    await seen.flip(0, 0, 1);
    armed = () => manager.release(shard);
    let quarantined: unknown;
    recorder.refuse = ({ type }) => {
      if (type === 'shard.quarantined') quarantined = manager.status().quarantined;
      return false;
    };
    expect(await failure(manager.verify(shard))).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
    expect(quarantined).toEqual([]);
    expect(await releasing).toMatchObject({ released: true });
    await manager.close();
  });

  it('are not given of a shard that is released while a verification waits', async () => {
    const { manager, recorder } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    await manager.drill(shard, { seed: 1 });
    let verifying: Promise<unknown> | undefined;
    let releasing: Promise<unknown> | undefined;
    // Healing holds the shard alone, so the verification waits behind it.
    const source: Source = {
      ...bytesSource(bytes),
      readRange: async (offset, length) => {
        verifying ??= failure(manager.verify(shard));
        await new Promise((resolve) => setTimeout(resolve, 3));
        releasing ??= manager.release(shard);
        return bytes.slice(offset, offset + length);
      },
    };
    expect(await failure(manager.heal(shard, source))).toMatchObject({ code: 'NOT_FOUND' });
    expect(await verifying).toMatchObject({ code: 'NOT_FOUND' });
    expect(await releasing).toMatchObject({ released: true });
    expect(recorder.of('seal.verification_failed').at(-1)).toMatchObject({
      operation: 'verify',
      sealId: shard.sealId,
      mode: 'resident',
      error: { code: 'NOT_FOUND' },
    });
    await manager.close();
  });
});

describe('every operation', () => {
  it.each<[string, unknown]>([
    ['"options" must be an object', 5],
    ['"options" must be an object', null],
    ['"traceparent" must be a W3C traceparent of version 00', { traceparent: 'x' }],
    ['"traceparent" must be a W3C traceparent of version 00', { traceparent: `${TRACE}0` }],
    ['"traceparent" must be a W3C traceparent of version 00', { traceparent: `0${TRACE}` }],
    ['"traceparent" must be a W3C traceparent of version 00', { traceparent: [TRACE] }],
    ['"signal" must be an AbortSignal', { signal: {} }],
    ['"onProgress" must be a function', { onProgress: {} }],
    ['"correlationId" must be a non-empty string', { correlationId: '' }],
  ])('refuses with words: %s', async (message, options) => {
    const { manager, recorder } = await openHost();
    const given = JSON.parse(JSON.stringify(options));
    expect(await failure(manager.capacity(given))).toMatchObject({ code: 'INVALID_INPUT', message });
    expect(recorder.types('capacity')).toEqual([
      'operation.started',
      'validation.failed',
      'operation.finished',
    ]);
    await manager.close();
  });

  it('takes a traceparent whose ids begin with zeros', async () => {
    const { manager, recorder } = await openHost();
    const traceparent = `00-0000000000000000000000000000000a-000000000000000b-00`;
    await manager.capacity({ traceparent });
    expect(recorder.events.at(-1)).toMatchObject({ traceparent });
    await manager.close();
  });

  it("passes on what the caller's own options throw, and tells nothing", async () => {
    const { manager, recorder } = await openHost();
    recorder.events.length = 0;
    const own = new Error('mine');
    const options = {
      get correlationId(): string {
        throw own;
      },
    };
    expect(await failure(manager.capacity(options))).toBe(own);
    expect(recorder.events).toEqual([]);
    await manager.close();
  });

  it("tells of what the caller's own code threw without repeating it", async () => {
    const { manager, recorder } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    await failure(
      manager.execute(shard, () => {
        throw new Error('0x7f');
      }),
    );
    expect(recorder.of('operation.finished').at(-1)?.error).toEqual({
      code: 'ABORTED',
      kind: 'invalid',
      scope: null,
      message: "the caller's own code threw",
    });
    await manager.close();
  });
});

describe('released handles', () => {
  it('are remembered, 65536 of them, the oldest forgotten first', () => {
    const table = new ShardTable();
    const shard = (sealId: string): LiveShard =>
      ({ sealed: { sealId, shardId: sealId } }) as unknown as LiveShard;
    for (let index = 0; index < 65_536; index++) table.remove(shard(String(index)));
    expect(table.wasReleased('0')).toBe(true);
    table.remove(shard('65536'));
    expect(['0', '1', '65536'].map((sealId) => table.wasReleased(sealId))).toEqual([false, true, true]);
  });
});
