import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isVramError, VramError } from '../../src/base/errors.js';
import type { Device } from '../../src/device/index.js';
import type { VramManager } from '../../src/manager/index.js';
import type { SealedShard } from '../../src/seal/index.js';
import { bytesSource, type Source, streamSource } from '../../src/source/index.js';
import { propertyRuns } from '../support/property-runs.js';
import { openHost, overlay, pattern, Recorder, wrapRegions } from '../unit/manager/fixture.js';

const BLOCK = 4096;
const padded = (byteLength: number): number => Math.ceil(byteLength / BLOCK) * BLOCK;

describe('[RP-001] reservations', () => {
  it('100 concurrent seals against a budget for 10: exactly 10 succeed, 90 are INSUFFICIENT_VRAM', async () => {
    const probe = await openHost();
    const { scratchBytes } = await probe.manager.capacity();
    await probe.manager.close();
    for (const slow of [false, true]) {
      const { manager, device, recorder } = await openHost({
        options: { budgetBytes: scratchBytes + 10 * 5 * BLOCK },
        wrap: (inner) => (slow ? slowly(inner) : inner),
      });
      const bytes = pattern(5 * BLOCK - 1);
      const results = await Promise.allSettled(
        Array.from({ length: 100 }, () => manager.seal(bytesSource(bytes))),
      );
      const codes = results.map((result) =>
        result.status === 'fulfilled' ? 'ok' : isVramError(result.reason) ? result.reason.code : 'other',
      );
      expect(codes.filter((code) => code === 'ok')).toHaveLength(10);
      expect(codes.filter((code) => code === 'INSUFFICIENT_VRAM')).toHaveLength(90);
      expect(await manager.capacity()).toMatchObject({ usedBytes: 10 * 5 * BLOCK, availableBytes: 0 });
      expect(device.stats()).toMatchObject({ liveRegions: 10, liveBytes: 10 * 5 * BLOCK });
      expect(recorder.of('vram.allocation_failed')).toHaveLength(90);
      await manager.close();
      expect(device.stats().liveBytes).toBe(0);
    }
  });

  it('what the device itself has free bounds them too, however late it answers', async () => {
    let free = 0;
    const { manager, device } = await openHost({
      wrap: (inner) =>
        overlay(inner, {
          capacity: async () => {
            const freeBytes = free;
            // An answer is out of date as soon as it is given: nobody may allocate between it and its use.
            await new Promise((resolve) => setTimeout(resolve, 1));
            return { totalBytes: 2 ** 30, freeBytes, source: 'driver' };
          },
          allocate: async (byteLength: number) => {
            const region = await inner.allocate(byteLength);
            free -= region.allocatedBytes;
            return region;
          },
        }),
    });
    free = 4 * BLOCK;
    const results = await Promise.allSettled(
      Array.from({ length: 9 }, () => manager.seal(bytesSource(pattern(BLOCK)))),
    );
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(4);
    expect(free).toBe(0);
    expect(device.stats().liveRegions).toBe(4);
    await manager.close();
  });
});

/** Every region's write takes a while, so that seals overlap. */
function slowly(device: Device): Device {
  return wrapRegions(device, (region) =>
    overlay(region, {
      write: async (offset: number, bytes: Uint8Array) => {
        await new Promise((resolve) => setTimeout(resolve, 1));
        await region.write(offset, bytes);
      },
    }),
  );
}

/** Ways for a seal to end. */
const FAILURES = [
  'none',
  'source-throws',
  'source-short',
  'changed',
  'freeze',
  'root',
  'expected',
  'audit',
  'abort',
  'wipe',
] as const;
type Failure = (typeof FAILURES)[number];

interface Model {
  readonly live: Map<string, number>;
  readonly budget: number;
}

interface Real {
  readonly manager: VramManager;
  readonly device: Device;
  readonly recorder: Recorder;
  readonly scratchBytes: number;
  readonly handles: Map<string, SealedShard>;
  readonly released: SealedShard[];
  readonly inject: { step: Failure };
}

function sourceFor(failure: Failure, bytes: Uint8Array): Source {
  const sound = bytesSource(bytes);
  if (failure === 'source-throws') {
    return {
      ...sound,
      async *stream() {
        yield bytes.subarray(0, 1);
        throw new Error('injected');
      },
    };
  }
  if (failure === 'source-short') return streamSource([bytes.subarray(1)], bytes.length);
  if (failure === 'changed') {
    return { ...sound, unchanged: async () => Promise.reject(new VramError('SOURCE_MISMATCH', 'injected')) };
  }
  return sound;
}

class Seal implements fc.AsyncCommand<Model, Real> {
  constructor(
    readonly id: string,
    readonly byteLength: number,
    readonly failure: Failure,
  ) {}
  check = (): boolean => true;

  async run(model: Model, real: Real): Promise<void> {
    const taken = model.live.has(this.id);
    const used = [...model.live.values()].reduce((sum, bytes) => sum + bytes, 0);
    const fits = used + padded(this.byteLength) <= model.budget;
    const aborting = new AbortController();
    real.inject.step = this.failure;
    const attempt = real.manager.seal(sourceFor(this.failure, pattern(this.byteLength)), {
      shardId: this.id,
      signal: aborting.signal,
      onProgress: () => {
        if (this.failure === 'abort') aborting.abort();
      },
      ...(this.failure === 'expected' ? { expected: `sha256:${'0'.repeat(64)}` } : {}),
    });
    const outcome = await attempt.then(
      (shard) => ({ shard, code: 'ok' }),
      (error: unknown) => ({ shard: null, code: isVramError(error) ? error.code : 'other' }),
    );
    real.inject.step = 'none';
    if (taken) expect(outcome.code).toBe('INVALID_INPUT');
    else if (!fits) expect(outcome.code).toBe('INSUFFICIENT_VRAM');
    else if (this.failure === 'none' || this.failure === 'wipe') expect(outcome.code).toBe('ok');
    else expect(['ok', 'other', 'INSUFFICIENT_VRAM']).not.toContain(outcome.code);
    if (outcome.shard !== null) {
      model.live.set(this.id, padded(this.byteLength));
      real.handles.set(this.id, outcome.shard);
    }
    await agree(model, real);
  }
  toString = (): string => `seal(${this.id}, ${this.byteLength}, ${this.failure})`;
}

class Release implements fc.AsyncCommand<Model, Real> {
  constructor(
    readonly id: string,
    readonly failure: 'none' | 'wipe' | 'audit',
  ) {}
  check = (): boolean => true;

  async run(model: Model, real: Real): Promise<void> {
    const shard = real.handles.get(this.id) ?? real.released.at(-1);
    if (shard === undefined) return;
    const live = real.handles.has(this.id);
    real.inject.step = this.failure;
    const outcome = await real.manager.release(shard).then(
      ({ released }) => released,
      (error: unknown) => isVramError(error, 'RELEASE_FAILED'),
    );
    real.inject.step = 'none';
    // Released whether or not it could be wiped or recorded; a second time, nothing happens.
    expect(outcome).toBe(live);
    if (live) {
      model.live.delete(this.id);
      real.handles.delete(this.id);
      real.released.push(shard);
    }
    await agree(model, real);
  }
  toString = (): string => `release(${this.id}, ${this.failure})`;
}

class VerifyAll implements fc.AsyncCommand<Model, Real> {
  check = (): boolean => true;
  async run(model: Model, real: Real): Promise<void> {
    for (const shard of real.handles.values()) {
      expect(await real.manager.verify(shard)).toMatchObject({ verified: true });
    }
    await agree(model, real);
  }
  toString = (): string => 'verify all';
}

/** RP-002: used bytes are the sum of live shards, for the manager and for the device. */
async function agree(model: Model, { manager, device, scratchBytes, handles }: Real): Promise<void> {
  const usedBytes = [...model.live.values()].reduce((sum, bytes) => sum + bytes, 0);
  expect(await manager.capacity()).toEqual({
    totalBytes: model.budget + scratchBytes,
    usedBytes,
    scratchBytes,
    availableBytes: model.budget - usedBytes,
    source: 'budget',
  });
  expect(device.stats()).toMatchObject({ liveBytes: usedBytes, liveRegions: handles.size });
  expect(manager.status().liveShards).toBe(model.live.size);
}

async function setup(budget: number): Promise<{ model: Model; real: Real }> {
  const inject: Real['inject'] = { step: 'none' };
  const recorder = new Recorder(true);
  recorder.refuse = ({ type }) =>
    inject.step === 'audit' && (type === 'vram.sealed' || type === 'vram.deallocated');
  const probe = await openHost();
  const { scratchBytes } = await probe.manager.capacity();
  await probe.manager.close();
  const failing = (step: Failure, message: string): void => {
    if (inject.step === step) throw new VramError('DEVICE_UNAVAILABLE', message);
  };
  const { manager, device } = await openHost({
    recorder,
    options: { budgetBytes: budget + scratchBytes },
    inject: {
      wipe: (segment) => {
        segment.fill(0);
        if (inject.step === 'wipe') throw new Error('injected');
      },
    },
    wrap: (inner) =>
      wrapRegions(inner, (region) =>
        overlay(region, {
          freeze: async () => {
            failing('freeze', 'injected');
            return await region.freeze();
          },
          root: async () => {
            failing('root', 'injected');
            return await region.root();
          },
        }),
      ),
  });
  return {
    model: { live: new Map(), budget },
    real: { manager, device, recorder, scratchBytes, handles: new Map(), released: [], inject },
  };
}

const ids = fc.constantFrom('a', 'b', 'c', 'd', 'e');
const sizes = fc.oneof(fc.integer({ min: 1, max: 3 * BLOCK }), fc.integer({ min: 1, max: 40 * BLOCK }));
const commands = [
  fc
    .tuple(ids, sizes, fc.constantFrom(...FAILURES))
    .map(([id, size, failure]) => new Seal(id, size, failure)),
  fc.tuple(ids, sizes).map(([id, size]) => new Seal(id, size, 'none')),
  fc
    .tuple(ids, fc.constantFrom('none' as const, 'wipe' as const, 'audit' as const))
    .map(([id, failure]) => new Release(id, failure)),
  fc.constant(new VerifyAll()),
];

describe('[RP-002] accounting is exact after any mix of successes and failures', () => {
  it('one after another, against a model', async () => {
    await fc.assert(
      fc.asyncProperty(fc.commands(commands, { maxCommands: 30 }), async (steps) => {
        const { model, real } = await setup(50 * BLOCK);
        try {
          await fc.asyncModelRun(() => ({ model, real }), steps);
        } finally {
          await real.manager.close();
        }
        expect(real.device.stats()).toMatchObject({ liveBytes: 0, liveRegions: 0 });
      }),
      { numRuns: propertyRuns(60) },
    );
  });

  it('all at once: never past the budget, and in the end the sum of what lives', async () => {
    const plan = fc.array(
      fc.tuple(
        sizes,
        fc.constantFrom(...FAILURES.filter((failure) => failure !== 'audit' && failure !== 'wipe')),
      ),
      {
        minLength: 5,
        maxLength: 40,
      },
    );
    await fc.assert(
      fc.asyncProperty(plan, async (seals) => {
        const { model, real } = await setup(60 * BLOCK);
        let peak = 0;
        const results = await Promise.allSettled(
          seals.map(async ([byteLength, failure], index) => {
            const aborting = new AbortController();
            if (failure === 'abort') setTimeout(() => aborting.abort(), index % 5);
            const shard = await real.manager.seal(sourceFor(failure, pattern(byteLength)), {
              signal: aborting.signal,
              ...(failure === 'expected' ? { expected: `sha256:${'0'.repeat(64)}` } : {}),
            });
            peak = Math.max(peak, real.device.stats().liveBytes);
            // Some are given back at once, so that reservations come and go.
            if (index % 3 === 0) await real.manager.release(shard);
            else model.live.set(shard.shardId, padded(byteLength));
            if (index % 3 !== 0) real.handles.set(shard.shardId, shard);
          }),
        );
        for (const result of results)
          if (result.status === 'rejected') expect(isVramError(result.reason)).toBe(true);
        expect(peak).toBeLessThanOrEqual(model.budget);
        for (const event of real.recorder.of('vram.allocated'))
          expect(event.usedBytes).toBeLessThanOrEqual(model.budget);
        await agree(model, real);
        await real.manager.close();
        expect(real.device.stats().liveBytes).toBe(0);
      }),
      { numRuns: propertyRuns(40) },
    );
  });
});
