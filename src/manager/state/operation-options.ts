import type { OptionKeys } from '../../base/index.js';
import { TRACE_KEYS, type TraceOptions } from '../../events/index.js';

/** How far an operation has come. */
export interface Progress {
  /**
   * `load`: read, hashed and uploaded. `verify`: hashed in device memory, as the device says; how often it does depends
   * on its windows. `readback`: brought back and hashed. If the bytes of `verify` or `readback` decrease, a mismatch has
   * caused a second inspection.
   */
  readonly phase: 'load' | 'verify' | 'readback';
  readonly bytes: number;
  readonly totalBytes: number;
}

/** Common to operations that take time. */
export interface OperationOptions extends TraceOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

// An option that is added to the interface, or taken from it, does not compile until it is so here too.
export const OPERATION_KEYS = {
  ...TRACE_KEYS,
  signal: true,
  onProgress: true,
} satisfies OptionKeys<OperationOptions>;
