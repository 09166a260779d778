import { describe, expect, it } from 'vitest';
import { VramError } from '../../../../src/base/errors.js';
import type { Region } from '../../../../src/device/index.js';
import type { RunOptions } from '../../../../src/device/types.js';
import type { SealedShard } from '../../../../src/seal/index.js';
import { bytesSource } from '../../../../src/source/index.js';
import { failure, type Opened, openHost, overlay, pattern, wrapRegions } from '../fixture.js';

const GROUP = 524_288;
const bytes = pattern(2 * GROUP);
const HOUR = 3_600_000;

type Method = 'root' | 'nodes' | 'read';

/** What a region does wrong. */
interface Odd {
  /** The method whose next answer is wrong. */
  flicker: Method | null;
  /** The device hashed one block less than there is. */
  short: boolean;
  /** Thrown by the next run. */
  error: VramError | null;
  roots: number;
}

function odd(region: Region, state: Odd): Region {
  const disturb = (method: Method, hash: Uint8Array): Uint8Array => {
    if (state.error !== null) {
      const { error } = state;
      state.error = null;
      throw error;
    }
    if (state.flicker === method) {
      state.flicker = null;
      hash[0] = (hash[0] ?? 0) ^ 1;
    }
    return hash;
  };
  return overlay(region, {
    root: async (options?: RunOptions) => {
      state.roots++;
      const { root, blocks } = await region.root(options);
      const hashed = state.short ? blocks - 1 : blocks;
      return { root: disturb('root', root), blocks: hashed };
    },
    nodes: async (...args: Parameters<Region['nodes']>) => disturb('nodes', await region.nodes(...args)),
    read: async (...args: Parameters<Region['read']>) => disturb('read', await region.read(...args)),
  });
}

/** A verified shard: an execution within the hour needs no other look. */
async function fresh(): Promise<Opened & { shard: SealedShard; state: Odd; looks: () => Promise<number> }> {
  const state: Odd = { flicker: null, short: false, error: null, roots: 0 };
  const opened = await openHost({ wrap: (device) => wrapRegions(device, (region) => odd(region, state)) });
  const shard = await opened.manager.seal(bytesSource(bytes));
  await opened.manager.verify(shard);
  /** Roots taken for one execution that would be content with a verification of the last hour. */
  const looks = async (): Promise<number> => {
    const before = state.roots;
    await opened.manager.execute(shard, () => 0, { maxAgeMs: HOUR });
    return state.roots - before;
  };
  expect(await looks()).toBe(0);
  return { ...opened, shard, state, looks };
}

describe('[CI-007] after a look that was not a pass the next execution verifies', () => {
  it.each([
    ['root', { mode: 'resident' }],
    ['read', { mode: 'readback' }],
    ['nodes', { mode: 'sampled', groups: 2 }],
  ] as const)('%s, and the mismatch did not repeat', async (method, options) => {
    const { manager, shard, state, looks } = await fresh();
    state.flicker = method;
    expect(await failure(manager.verify(shard, options))).toMatchObject({ report: { transient: true } });
    expect(await looks()).toBe(1);
    expect(await looks()).toBe(0);
    await manager.close();
  });

  it('resident, and the run did not count', async () => {
    const { manager, shard, state, looks } = await fresh();
    state.short = true;
    expect(await failure(manager.verify(shard))).toMatchObject({ code: 'DEVICE_UNAVAILABLE' });
    state.short = false;
    expect(await looks()).toBe(1);
    await manager.close();
  });

  it.each(['DEVICE_UNAVAILABLE', 'ABORTED'] as const)('sampled, and it ended in %s', async (code) => {
    const { manager, shard, state, looks } = await fresh();
    state.error = new VramError(code, 'injected');
    expect(await failure(manager.verify(shard, { mode: 'sampled', groups: 1 }))).toMatchObject({ code });
    expect(await looks()).toBe(1);
    await manager.close();
  });

  it.each([
    ['differed once', 'nodes', null],
    ['failed', null, new VramError('DEVICE_UNAVAILABLE', 'injected')],
  ])('of a scrubber, and it %s', async (_name, flicker, error) => {
    const { manager, recorder, state, looks } = await fresh();
    Object.assign(state, { flicker, error });
    const scrubber = manager.scrub({ intervalMs: 10_000, bytesPerSecond: 2 ** 40 });
    while (
      !recorder.events.some((event) => event.operation === 'scrub' && event.type === 'operation.finished')
    )
      await new Promise((resolve) => setTimeout(resolve, 1));
    await scrubber.stop();
    expect(await looks()).toBe(1);
    await manager.close();
  });

  it('of a heal that found two digests', async () => {
    const { manager, shard, state, looks } = await fresh();
    state.flicker = 'root';
    expect(await failure(manager.heal(shard, bytesSource(bytes)))).toMatchObject({
      code: 'DEVICE_UNAVAILABLE',
      message: 'the device gave two digests of the same bytes',
    });
    expect(await looks()).toBe(1);
    await manager.close();
  });
});

describe('[CI-007] a verification that began before the doubt', () => {
  it('and passes after it does not count', async () => {
    let held: Promise<void> | null = null;
    let letGo = (): void => undefined;
    const state: Odd = { flicker: null, short: false, error: null, roots: 0 };
    const { manager } = await openHost({
      wrap: (device) =>
        wrapRegions(device, (region) =>
          overlay(odd(region, state), {
            read: async (...args: Parameters<Region['read']>) => {
              await held;
              return await region.read(...args);
            },
          }),
        ),
    });
    const shard = await manager.seal(bytesSource(bytes));
    held = new Promise((resolve) => {
      letGo = resolve;
    });
    const slow = manager.verify(shard, { mode: 'readback' });
    await new Promise((resolve) => setTimeout(resolve, 1));
    state.flicker = 'root';
    expect(await failure(manager.verify(shard))).toMatchObject({ report: { transient: true } });
    letGo();
    expect(await slow).toMatchObject({ verified: true });
    const before = state.roots;
    await manager.execute(shard, () => 0, { maxAgeMs: HOUR });
    expect(state.roots).toBe(before + 1);
    await manager.close();
  });
});

describe('[CI-007] the age of a verification', () => {
  it.each([
    ['a machine that was suspended: only the wall clock went on', HOUR + 1, 0],
    ['a wall clock that was set back: the monotonic clock counts', -10 * HOUR, HOUR + 1],
  ])('%s', async (_name, wallMs, monotonicMs) => {
    const { manager, clock, looks } = await fresh();
    clock.wallMs += wallMs;
    clock.monotonicMs += monotonicMs;
    expect(await looks()).toBe(1);
    await manager.close();
  });
});
