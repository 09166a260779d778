import type { OpenOptions } from '../types.js';
import type { BlockHasher, HostKernels } from './kernels.js';

/** Faults for tests. Nothing else sets these. */
export interface HostInjection {
  /** Wraps the kernels: one that skips, is late, or does not hash the canary. */
  readonly kernels?: (sound: HostKernels) => HostKernels;
  /** Called before memory is taken; what it throws is what the system would have thrown. */
  readonly beforeAllocate?: (byteLength: number) => void;
  /** Replaces the zero fill of one segment at release. */
  readonly wipe?: (segment: Uint8Array) => void;
  /** Sees every segment as it is given back. */
  readonly freed?: (segment: Uint8Array) => void;
  /** The device is lost when this resolves to a reason. */
  readonly lost?: Promise<string>;
}

/** What the platform knows and the portable core does not. */
export interface HostOptions {
  /** Hashes faster than the built-in engine; the caller still owns, and closes, it. */
  readonly engine?: BlockHasher;
  /** Bytes of system memory that this process may use. */
  readonly totalMemory?: () => number;
  readonly freeMemory?: () => number;
  /** Largest segment in bytes, a multiple of 4096; regions above it have several. */
  readonly segmentBytes?: number;
  /** Called with each segment of a region, zeros that nobody has touched, before it is used. Changes no byte. */
  readonly prepare?: (segment: Uint8Array) => void;
  /**
   * Most bytes of released regions that a device keeps, wiped, for regions to come. Default 0: none. They are counted: as
   * free where a region needs the room, and against a manager's budget.
   */
  readonly poolBytes?: number;
  readonly inject?: HostInjection;
}

export interface HostOpenOptions extends OpenOptions {
  /** Mock mode: the device is marked as an override of what the machine has (`facts.driverOverride`). */
  readonly forceHost?: boolean;
}
