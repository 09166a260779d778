import { type Clock, timerOf } from '../../../src/base/clock.js';
import { VramError } from '../../../src/base/errors.js';
import { ForeignCalls } from '../../../src/base/foreign-calls.js';
import { hostBackend } from '../../../src/device/host/index.js';
import type { HostInjection, HostOptions } from '../../../src/device/host/options.js';
import type { Backend, Device, Region, ResidencyFacts } from '../../../src/device/index.js';
import type { RunOptions } from '../../../src/device/types.js';
import { createPortableEngine } from '../../../src/digest/index.js';
import type { EventType, Observer, OperationEvent } from '../../../src/events/events.js';
import type { DamagePlan } from '../../../src/manager/drills/damage.js';
import { type ManagerOptions, type Platform, VramManager } from '../../../src/manager/index.js';
import { nodeCrypto } from '../../../src/node/crypto.js';
import { createNodeEngine } from '../../../src/node/digest/create-engine.js';
import { type Source, type SourceLimits, SourceReader } from '../../../src/source/index.js';

/** What a driver says of a GPU with memory of its own. */
export const DISCRETE: ResidencyFacts = {
  backend: 'cuda',
  execution: 'hardware',
  integrated: false,
  memoryType: 'device',
  fallbackAdapter: null,
  pageable: false,
  computeCapability: { major: 9, minor: 0 },
  totalBytes: 80e9,
  driverOverride: false,
  driverFile: '/usr/lib/x86_64-linux-gnu/libcuda.so.550.54.14',
  driverDoubt: null,
  kernelsReplaced: false,
};

export const token = (): Uint8Array => new Uint8Array(32).fill(0x5a);

/** Deterministic bytes that no other seed gives. */
export function pattern(byteLength: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(byteLength);
  let state = (seed * 2654435761) >>> 0 || 1;
  for (let index = 0; index < byteLength; index++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[index] = state & 0xff;
  }
  return bytes;
}

/** Keeps every event, and fails on demand. */
export class Recorder implements Observer {
  readonly name = 'recorder';
  readonly events: OperationEvent[] = [];
  readonly required: boolean;
  /** Whether to refuse an event. */
  refuse: (event: OperationEvent) => boolean = () => false;
  /** Called with every event that was kept; what it returns is waited for. */
  onEvent: (event: OperationEvent) => void | Promise<void> = () => undefined;

  constructor(required = false) {
    this.required = required;
  }

  on(event: OperationEvent): void | Promise<void> {
    if (this.refuse(event)) throw new Error('the disk is full');
    this.events.push(event);
    return this.onEvent(event);
  }

  of<T extends EventType>(type: T): Extract<OperationEvent, { type: T }>[] {
    return this.events.filter((event): event is Extract<OperationEvent, { type: T }> => event.type === type);
  }

  types(operation?: string): string[] {
    return this.events
      .filter((event) => operation === undefined || event.operation === operation)
      .map(({ type }) => type);
  }
}

/** A clock that stands still unless turned. */
export class TestClock implements Clock {
  wallMs = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
  monotonicMs = 1000;
  now(): number {
    return this.wallMs;
  }
  monotonic(): number {
    return this.monotonicMs;
  }
  /** Fires what is due on the way. */
  turn(ms: number): void {
    this.wallMs += ms;
    this.monotonicMs += ms;
    for (const timer of [...this.#timers])
      if (timer.at <= this.monotonicMs && this.#timers.delete(timer)) timer.fire();
  }
  after(ms: number, fire: () => void): () => void {
    const timer = { at: this.monotonicMs + ms, fire };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }
  /** Timers that are set. */
  get waiting(): number {
    return this.#timers.size;
  }
  readonly #timers = new Set<{ readonly at: number; readonly fire: () => void }>();
}

/** A source as the manager reads it. */
export function readerOver(source: Source, limits: Partial<SourceLimits> = {}): SourceReader {
  const clock = limits.clock ?? new TestClock();
  const calls = new ForeignCalls(timerOf(clock));
  return new SourceReader(source, { calls, clock, stallMs: 30_000, ends: [], ...limits });
}

export function platform(backends: readonly Backend[] = [hostBackend()], forceHost = false): Platform {
  return {
    backends: () => backends,
    crypto: nodeCrypto,
    engine: () => createNodeEngine('native'),
    forceHost,
  };
}

export interface Opened {
  readonly manager: VramManager;
  readonly recorder: Recorder;
  readonly clock: TestClock;
  readonly device: Device;
}

export interface OpenHost {
  readonly options?: Partial<ManagerOptions>;
  readonly host?: Omit<HostOptions, 'inject'>;
  readonly inject?: HostInjection;
  readonly recorder?: Recorder;
  /** Between the manager and the device, to inject what no backend does by itself. */
  readonly wrap?: (device: Device) => Device;
}

/** A manager on the host backend with drills allowed and everything recorded; the device stays the test's. */
export async function openHost({
  options,
  host,
  inject,
  recorder = new Recorder(),
  wrap,
}: OpenHost = {}): Promise<Opened> {
  const backend = hostBackend({ ...host, ...(inject === undefined ? {} : { inject }) });
  const opened = await backend.open(0, { drills: true, windowBytes: 256 * 1024 });
  const device = wrap === undefined ? opened : wrap(opened);
  const clock = new TestClock();
  const manager = await VramManager.open(
    { device, workerId: 'worker-1', policy: 'any', observers: [recorder], clock, drills: true, ...options },
    { ...platform(), engine: () => createPortableEngine() },
  );
  return { manager, recorder, clock, device };
}

/** The error that a call fails with. */
export async function failure(
  call: Promise<unknown>,
): Promise<Error & { code?: string; report?: unknown; cause?: unknown }> {
  try {
    await call;
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
  throw new Error('the call succeeded');
}

/** A device whose next region fails once in one method. */
export function failOnce(
  device: Device,
  step: 'write' | 'freeze' | 'root' | 'nodes' | 'patch' | 'read',
): Device {
  let armed = true;
  return wrapRegions(device, (region) =>
    overlay(region, {
      [step]: async (...args: never[]) => {
        if (armed) {
          armed = false;
          throw new VramError('DEVICE_UNAVAILABLE', `injected in ${step}`);
        }
        const method: (...inner: never[]) => unknown = region[step].bind(region);
        return await method(...args);
      },
    }),
  );
}

/** A device whose first `times` roots of every region are wrong. */
export function lieAboutRoot(device: Device, times: number): Device {
  return wrapRegions(device, (region) => {
    let lies = times;
    return overlay(region, {
      root: async (options?: RunOptions) => {
        const { root, blocks } = await region.root(options);
        if (lies-- > 0) root[0] = (root[0] ?? 0) ^ 1;
        return { root, blocks };
      },
    });
  });
}

export function wrapRegions(device: Device, wrap: (region: Region) => Region): Device {
  return overlay(device, {
    allocate: async (...request: Parameters<Device['allocate']>) => wrap(await device.allocate(...request)),
  });
}

/** The same object with some methods replaced; #private state stays the original's. */
export function overlay<T extends object>(inner: T, replaced: Partial<Record<keyof T, unknown>>): T {
  return new Proxy(inner, {
    get(target, key) {
      if (key in replaced) return Reflect.get(replaced, key);
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** Wraps a device so that a test can damage the region of the n-th allocation, past the manager. */
export function regionsOf(around: (device: Device) => Device = (device) => device): {
  readonly wrap: (device: Device) => Device;
  readonly regions: Region[];
  readonly flip: (region: number, byte: number, mask: number) => Promise<void>;
} {
  const regions: Region[] = [];
  return {
    regions,
    wrap: (device) =>
      around(
        wrapRegions(device, (region) => {
          regions.push(region);
          return region;
        }),
      ),
    flip: async (region, byte, mask) => {
      const faults = regions[region]?.faults;
      if (faults === undefined || faults === null) throw new Error('no fault port');
      await faults.flip(byte, mask);
    },
  };
}

/** A drill's plan over the given bytes, one bit unless told; it may read nothing else. */
export function planOver(bytes: Uint8Array, rest: Partial<DamagePlan> = {}): DamagePlan {
  return {
    byteLength: bytes.length,
    flips: 1,
    patterns: ['bit'],
    area: 'data',
    seed: 0,
    read: async (offset, length) => {
      if (offset < 0 || length < 1 || offset + length > bytes.length) throw new Error('out of the shard');
      return bytes.slice(offset, offset + length);
    },
    ...rest,
  };
}
