import { describe, expect, it } from 'vitest';
import { VramError } from '../../../src/base/errors.js';
import type { Device } from '../../../src/device/index.js';
import type { DeviceLost } from '../../../src/device/types.js';
import { type TensorStreamOptions, tensorSource } from '../../../src/models/index.js';
import type { SealedShard } from '../../../src/seal/index.js';
import { bytesSource, type Source } from '../../../src/source/index.js';
import { type MadeFile, rising, tensorModel } from '../../support/tensor-model.js';
import {
  failOnce,
  failure,
  type Opened,
  type OpenHost,
  openHost,
  overlay,
  pattern,
  regionsOf,
} from './fixture.js';

const GROUP = 524_288;
const STALL_MS = 5000;
const bytes = pattern(3 * GROUP);
const FAST = { intervalMs: 10_000, bytesPerSecond: 2 ** 40 };

/** The test's own time limit is the way out. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}

/** A call that does not answer until it is told to. */
class Stalled<T> {
  calls = 0;
  signal: AbortSignal | undefined;
  #answer: (value: T) => void = () => undefined;

  readonly call = (...args: readonly unknown[]): Promise<T> => {
    this.calls++;
    const options = args.at(-1);
    if (typeof options === 'object' && options !== null && 'signal' in options) {
      this.signal = options.signal instanceof AbortSignal ? options.signal : undefined;
    }
    return new Promise((resolve) => {
      this.#answer = resolve;
    });
  };

  answer(value: T): void {
    this.#answer(value);
  }
}

interface Damaged extends Opened {
  readonly shard: SealedShard;
  readonly lose: () => void;
}

/** A shard with a flipped bit in each of its three groups. */
async function damaged(options: OpenHost['options'] = {}, reopen?: () => Promise<Source>): Promise<Damaged> {
  let lose = (): void => undefined;
  const lost = new Promise<DeviceLost>((resolve) => {
    lose = () => resolve({ reason: 'lost', message: 'it fell off the bus' });
  });
  const seen = regionsOf((device: Device) => overlay(device, { lost }));
  const opened = await openHost({ wrap: seen.wrap, options: { stallMs: STALL_MS, ...options } });
  const shard = await opened.manager.seal(bytesSource(bytes), {
    shardId: 'a',
    ...(reopen === undefined ? {} : { reopen }),
  });
  for (const group of [0, 1, 2]) await seen.flip(0, group * GROUP, 1);
  return { ...opened, shard, lose };
}

/** The sealed bytes, behind a range that stalls. */
function stalledRange(): { source: Source; stalled: Stalled<Uint8Array> } {
  const stalled = new Stalled<Uint8Array>();
  return { stalled, source: { ...bytesSource(bytes, 'weights'), readRange: stalled.call } };
}

describe('verify with a source that stalls', () => {
  it('[ST-001] has the damage in quarantine and on record before anything is read from the source', async () => {
    const { manager, recorder, clock, shard } = await damaged();
    const stalled = new Stalled<Uint8Array>();
    let before: readonly string[] = [];
    const source: Source = {
      ...bytesSource(bytes, 'weights'),
      readRange: (...args) => {
        before = [...recorder.types('verify'), ...manager.status().quarantined];
        return stalled.call(...args);
      },
    };
    const verifying = failure(manager.verify(shard, { source }));
    await until(() => stalled.calls > 0);
    expect(before.filter((what) => what !== 'operation.started')).toEqual([
      'operation.stage',
      'seal.verification_failed',
      'shard.quarantined',
      'damage.located',
      'a',
    ]);
    clock.turn(STALL_MS);
    expect(await verifying).toMatchObject({
      code: 'INTEGRITY_VIOLATION',
      cause: {
        code: 'SOURCE_MISMATCH',
        message: 'the source "weights" gave nothing for 5000 ms; try again, or raise stallMs',
      },
      report: { damagedGroups: 3, exact: false, damaged: [{ firstBlock: 0, blocks: 384 }] },
    });
    // It is told that nobody waits, and not asked for the other two groups.
    expect([stalled.calls, stalled.signal?.aborted]).toEqual([1, true]);
    expect(manager.status().abandonedCalls).toEqual({ total: 1, settled: 0 });
    stalled.answer(new Uint8Array(1));
    await until(() => manager.status().abandonedCalls.settled === 1);
    await manager.close();
  });

  it.each(['abort', 'release', 'close', 'loss'] as const)(
    'makes way for %s at once; the verdict stands',
    async (what) => {
      const { manager, shard, lose } = await damaged();
      const { source, stalled } = stalledRange();
      const aborting = new AbortController();
      const verifying = failure(manager.verify(shard, { source, signal: aborting.signal }));
      await until(() => stalled.calls > 0);
      let done: Promise<unknown> = Promise.resolve();
      if (what === 'abort') aborting.abort();
      else if (what === 'release') done = manager.release(shard);
      else if (what === 'close') done = manager.close();
      else lose();
      const code = { abort: 'ABORTED', release: 'ABORTED', close: 'STOPPED', loss: 'DEVICE_LOST' }[what];
      expect(await verifying).toMatchObject({ code: 'INTEGRITY_VIOLATION', cause: { code } });
      await done;
      await manager.close();
    },
  );
});

describe('heal from a source that stalls', () => {
  it('is SOURCE_MISMATCH, and the quarantine stays', async () => {
    const { manager, recorder, clock, shard } = await damaged();
    const { source, stalled } = stalledRange();
    const healing = failure(manager.heal(shard, source));
    await until(() => stalled.calls > 0);
    clock.turn(STALL_MS - 1);
    expect(manager.status().abandonedCalls.total).toBe(0);
    clock.turn(1);
    expect(await healing).toMatchObject({ code: 'SOURCE_MISMATCH' });
    expect(recorder.of('heal.failed')).toMatchObject([{ error: { code: 'SOURCE_MISMATCH' } }]);
    expect(manager.status().quarantined).toEqual(['a']);
    expect(await manager.heal(shard, bytesSource(bytes))).toMatchObject({ healedBlocks: 3 });
    await manager.close();
  });

  it.each([
    ['abort', 'ABORTED'],
    ['release', 'NOT_FOUND'],
    ['close', 'STOPPED'],
    ['loss', 'DEVICE_LOST'],
  ] as const)('makes way for %s at once', async (what, code) => {
    const { manager, shard, lose } = await damaged();
    const { source, stalled } = stalledRange();
    const aborting = new AbortController();
    const healing = failure(manager.heal(shard, source, { signal: aborting.signal }));
    await until(() => stalled.calls > 0);
    let done: Promise<unknown> = Promise.resolve();
    if (what === 'abort') aborting.abort();
    else if (what === 'release') done = manager.release(shard);
    else if (what === 'close') done = manager.close();
    else lose();
    expect(await healing).toMatchObject({ code });
    await done;
    if (what === 'release') expect(await manager.release(shard)).toMatchObject({ released: false });
    await manager.close();
  });
});

describe('seal from a source that stalls', () => {
  const never = new Promise<never>(() => undefined);

  it.each<[string, (stalling: () => Promise<never>) => Partial<Source>]>([
    [
      'in its stream',
      (stalling) => ({
        async *stream() {
          yield bytes.subarray(0, GROUP);
          await stalling();
        },
      }),
    ],
    ['when it is asked whether it changed', (stalling) => ({ unchanged: stalling })],
  ])('%s: SOURCE_MISMATCH, and nothing is left behind', async (_name, parts) => {
    const { manager, clock } = await openHost({ options: { stallMs: STALL_MS } });
    let reached = false;
    const stalling = (): Promise<never> => {
      reached = true;
      return never;
    };
    const sealing = failure(manager.seal({ ...bytesSource(bytes), ...parts(stalling) }, { shardId: 'a' }));
    await until(() => reached);
    clock.turn(STALL_MS);
    expect(await sealing).toMatchObject({ code: 'SOURCE_MISMATCH' });
    expect(manager.status().liveShards).toBe(0);
    expect((await manager.capacity()).usedBytes).toBe(0);
    await manager.seal(bytesSource(bytes), { shardId: 'a' });
    await manager.close();
  });

  it('counts the time since the last byte: drops are enough, empty chunks are not', async () => {
    const { manager, clock } = await openHost({ options: { stallMs: STALL_MS } });
    const dripping = (empty: number): Source => ({
      ...bytesSource(bytes.subarray(0, 10)),
      async *stream() {
        for (let at = 0; at < 10; at++) {
          for (let chunk = 0; chunk < empty; chunk++) {
            clock.turn(STALL_MS - 1);
            yield new Uint8Array(0);
          }
          clock.turn(1);
          yield bytes.subarray(at, at + 1);
        }
      },
    });
    await manager.seal(dripping(0));
    await manager.seal(dripping(1));
    expect(await failure(manager.seal(dripping(2)))).toMatchObject({ code: 'SOURCE_MISMATCH' });
    await manager.close();
  });

  it('of which it reads much and packs little is alive while it reads', async () => {
    const { manager, clock } = await openHost({ options: { stallMs: STALL_MS } });
    const file = (name: string): MadeFile => ({
      name,
      bytes: rising(20_000, 31, 7),
      tensors: [{ name: `${name} a`, at: 8, length: 10 }],
    });
    const packed = tensorSource(tensorModel([file('one'), file('two'), file('three')]));
    const slow = overlay(packed, {
      stream: (options: TensorStreamOptions) =>
        packed.stream({
          ...options,
          onFileBytes: async (index, read) => {
            clock.turn(STALL_MS - 1);
            await options.onFileBytes?.(index, read);
          },
        }),
    });
    expect(await manager.seal(slow)).toMatchObject({ layout: 'tensors' });
    await manager.close();
  });

  it('an endless row of empty chunks keeps no signal from firing', async () => {
    const { manager } = await openHost();
    const source: Source = {
      ...bytesSource(bytes),
      async *stream() {
        for (;;) yield new Uint8Array(0);
      },
    };
    const signal = AbortSignal.timeout(5);
    expect(await failure(manager.seal(source, { signal }))).toMatchObject({ code: 'ABORTED' });
    await manager.close();
  });

  it('the error of the upload is told, though the source does not let itself be ended', async () => {
    const { manager, clock } = await openHost({
      options: { stallMs: STALL_MS },
      wrap: (device) => failOnce(device, 'write'),
    });
    let ended = 0;
    const source: Source = {
      ...bytesSource(bytes),
      stream: () => ({
        [Symbol.asyncIterator]: () => ({
          next: async () => ({ done: false, value: bytes }),
          return: () => {
            ended++;
            return never;
          },
        }),
      }),
    };
    const sealing = failure(manager.seal(source));
    await until(() => ended > 0);
    clock.turn(STALL_MS);
    expect(await sealing).toMatchObject({ code: 'DEVICE_UNAVAILABLE', message: 'injected in write' });
    await manager.close();
  });
});

describe('a scrubber that heals', () => {
  const scrubbed = ({ recorder }: Damaged): boolean =>
    recorder.events.some(({ type, operation }) => type === 'operation.finished' && operation === 'scrub');

  it('gives up a source that does not open again; one that opens too late is closed', async () => {
    const stalled = new Stalled<Source>();
    const set = await damaged({}, stalled.call);
    const scrubber = set.manager.scrub({ ...FAST, heal: true });
    await until(() => stalled.calls > 0);
    set.clock.turn(STALL_MS);
    await until(() => scrubbed(set));
    expect(set.recorder.of('heal.failed')).toMatchObject([
      { error: { code: 'SOURCE_MISMATCH', message: 'the source did not open again within 5000 ms' } },
    ]);
    let closed = 0;
    stalled.answer({ ...bytesSource(bytes), close: async () => void closed++ });
    await until(() => closed === 1);
    await scrubber.stop();
    await set.manager.close();
  });

  it.each([
    ['fails', new Error('mine'), "the caller's own code threw"],
    ['hangs', null, 'the source did not close within 5000 ms'],
  ])('tells of a close that %s, and has healed all the same', async (_name, error, message) => {
    const stalled = new Stalled<void>();
    const close = (): Promise<void> => (error === null ? stalled.call() : Promise.reject(error));
    const set = await damaged({}, async () => ({ ...bytesSource(bytes, 'weights'), close }));
    const scrubber = set.manager.scrub({ ...FAST, heal: true });
    if (error === null) await until(() => stalled.calls > 0);
    set.clock.turn(STALL_MS);
    await until(() => scrubbed(set));
    await scrubber.stop();
    expect(set.recorder.of('shard.healed')).toHaveLength(1);
    expect(set.recorder.of('heal.failed')).toEqual([]);
    expect(set.recorder.of('close.failed')).toMatchObject([
      { what: 'source', name: 'weights', error: { message } },
    ]);
    expect(set.manager.status()).toMatchObject({ quarantined: [], closeFailures: 1 });
    await set.manager.close();
  });

  it('tells why it could not heal, not that the source could not be closed either', async () => {
    const close = (): Promise<void> => Promise.reject(new VramError('NOT_FOUND', 'the second error'));
    const set = await damaged({}, async () => ({ ...bytesSource(pattern(3 * GROUP, 9)), close }));
    const scrubber = set.manager.scrub({ ...FAST, heal: true });
    await until(() => scrubbed(set));
    await scrubber.stop();
    expect(set.recorder.of('heal.failed')).toMatchObject([{ error: { code: 'SOURCE_MISMATCH' } }]);
    expect(set.recorder.of('close.failed')).toMatchObject([{ error: { message: 'the second error' } }]);
    await set.manager.close();
  });

  it.each(['stop', 'release', 'close'] as const)('makes way for %s while it reads', async (what) => {
    const { source, stalled } = stalledRange();
    const set = await damaged({}, async () => source);
    const scrubber = set.manager.scrub({ ...FAST, heal: true });
    await until(() => stalled.calls > 0);
    if (what === 'stop') await scrubber.stop();
    else if (what === 'release') await set.manager.release(set.shard);
    else await set.manager.close();
    expect(set.recorder.of('heal.failed')).toHaveLength(1);
    await scrubber.stop();
    await set.manager.close();
  });
});

describe('the limits', () => {
  it.each(['stallMs', 'observerMs', 'signerMs'])(
    '%s is a whole number of milliseconds that a timer takes',
    async (name) => {
      for (const value of [0, -1, 1.5, 2 ** 31, Number.NaN, '5']) {
        expect(await failure(openHost({ options: { [name]: value } }))).toMatchObject({
          code: 'INVALID_INPUT',
          argument: name,
        });
      }
      const { manager } = await openHost({ options: { [name]: 2 ** 31 - 1 } });
      await manager.close();
    },
  );
});
