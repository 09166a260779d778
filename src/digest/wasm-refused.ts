import { VramError } from '../base/index.js';

/**
 * The error for WebAssembly that the platform supports but failed to run. DEVICE_UNAVAILABLE, unless the cause is an
 * error of the library already.
 */
export function wasmRefused(cause: unknown): VramError {
  if (cause instanceof VramError) return cause;
  return new VramError('DEVICE_UNAVAILABLE', reasonOf(cause), { cause });
}

/** JavaScript engines that check bounds by page faults reserve some 10 GB of address space for each memory. */
const NO_ROOM =
  'no memory for one more WebAssembly instance; where addresses are limited (ulimit -v), raise the limit, ' +
  'or in Node set NODE_OPTIONS=--disable-wasm-trap-handler';

function reasonOf(cause: unknown): string {
  if (typeof WebAssembly !== 'object') return 'this platform has no WebAssembly';
  if (cause instanceof RangeError) return NO_ROOM;
  return (
    "WebAssembly could not be compiled; in a page, the content security policy has to allow 'wasm-unsafe-eval' " +
    'in script-src'
  );
}
