import type { NativeSink } from '../../digest/index.js';
import type { OpenOptions } from '../types.js';
import type { BlockHasher, HostKernels } from './kernels.js';

/** Faults for tests. Nothing else sets these. */
export interface HostInjection {
  /** Wraps the kernels: one that skips, is late, or does not hash the canary. */
  readonly kernels?: (sound: HostKernels) => HostKernels;
  /** Called before memory is allocated; its exception simulates one of the system. */
  readonly beforeAllocate?: (byteLength: number) => void;
  /** Replaces the zero fill of one segment at release. */
  readonly wipe?: (segment: Uint8Array) => void;
  /** Receives every segment as it is released. */
  readonly freed?: (segment: Uint8Array) => void;
  /** The device is lost when this resolves to a reason. */
  readonly lost?: Promise<string>;
}

/** Native code that copies to JavaScript's memory. */
export interface NativeSinks {
  /** Consecutive `pieces`, which must not be detached or resized before the sink is closed. */
  open(pieces: readonly Uint8Array[]): NativeSink;
  /** Nothing is copied afterwards. Safe to call twice. */
  close(sink: NativeSink): void;
}

/** Functions and limits that only the platform can provide. */
export interface HostOptions {
  /** Hashes faster than the built-in engine; the caller owns and closes it. */
  readonly engine?: BlockHasher;
  /** Bytes of system memory that this process may use. */
  readonly totalMemory?: () => number;
  readonly freeMemory?: () => number;
  /** Largest segment in bytes, a multiple of 4096; regions above it have several. */
  readonly segmentBytes?: number;
  /** Called with each segment of a region, untouched zeros, before it is used. Must not change a byte. */
  readonly prepare?: (segment: Uint8Array) => void;
  /** Regions are filled by native code from files: `Region.fillNatively`. */
  readonly sinks?: NativeSinks;
  /**
   * Maximum bytes of released regions that a device keeps, wiped, for reuse. Default 0: none. They count as free for a
   * region that needs them, and against a manager's budget.
   */
  readonly poolBytes?: number;
  readonly inject?: HostInjection;
}

export interface HostOpenOptions extends OpenOptions {
  /** Mock mode: the device is marked as an override of the machine's hardware (`facts.driverOverride`). */
  readonly forceHost?: boolean;
}
