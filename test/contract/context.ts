import type { Device, OpenOptions } from '../../src/device/types.js';
import type { DigestEngine, NativeSink } from '../../src/digest/types.js';

/** The host's answer to compare with: any engine but the one that the device under test computes with. */
export type Oracle = Pick<DigestEngine, 'leaves' | 'nodes' | 'sha256'>;

/** A file that native code reads. */
export interface NativeFile {
  /** Copies a range of it to the sink, past JavaScript. Errors: CLOSED once the sink is withdrawn. */
  read(sink: NativeSink, offset: number, length: number): Promise<void>;
  close(): Promise<void>;
}

/** One backend under test. */
export interface ContractTarget {
  /** `host`, `webgpu (SwiftShader)`, ... */
  readonly name: string;
  open(options?: OpenOptions): Promise<Device>;
  readonly oracle: Oracle;
  /** Largest region that a case may make, in bytes: slow software devices name a small one. */
  readonly maxBytes: number;
  /**
   * Allocations that went back to the platform up to now, and those of them that were not all zeros; absent where nobody can
   * look.
   */
  readonly freed?: () => { readonly allocations: number; readonly unwiped: number };
  /** Makes a file with these bytes; absent where no native code reads files. */
  readonly nativeFile?: ((bytes: Uint8Array) => Promise<NativeFile>) | undefined;
  /** A device on which the next allocation, of `byteLength` bytes, runs out of memory; absent where that cannot be had. */
  readonly openOutOfMemory?: () => Promise<{ readonly device: Device; readonly byteLength: number }>;
  /** A device that is lost when `lose` is called; absent where that cannot be brought about. */
  readonly openLosable?: () => Promise<{ readonly device: Device; lose(): Promise<void> }>;
}

/** What a case works with. */
export interface ContractContext {
  readonly target: ContractTarget;
  readonly oracle: Oracle;
  readonly maxBytes: number;
  /** A device that other cases use too, with these options; a case leaves no region on it. */
  shared(options?: OpenOptions): Promise<Device>;
  /** A device of the case's own, closed behind it. */
  open(options?: OpenOptions): Promise<Device>;
  /** Ends the case; it is reported as skipped, with the reason, never as passed. */
  skip(reason: string): never;
}

export interface ContractCase {
  readonly name: string;
  run(context: ContractContext): Promise<void>;
}
