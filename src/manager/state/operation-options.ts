import type { OptionKeys } from '../../base/index.js';
import { TRACE_KEYS, type TraceOptions } from '../../events/index.js';

/** The progress of an operation. */
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

// Does not compile unless it lists exactly the options of the interface.
export const OPERATION_KEYS = {
  ...TRACE_KEYS,
  signal: true,
  onProgress: true,
} satisfies OptionKeys<OperationOptions>;
