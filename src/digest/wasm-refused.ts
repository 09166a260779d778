import { VramError } from '../base/index.js';

/**
 * WebAssembly that the platform has and did not run, told as what it is. DEVICE_UNAVAILABLE, unless the cause is an error
 * of the library already.
 */
export function wasmRefused(cause: unknown): VramError {
  if (cause instanceof VramError) return cause;
  return new VramError('DEVICE_UNAVAILABLE', reasonOf(cause), { cause });
}

/** An engine reserves some 10 GB of addresses for each memory where it checks bounds by page faults. */
const NO_ROOM =
  'no memory for one more WebAssembly instance; where addresses are limited (ulimit -v), raise the limit, ' +
  'or in Node set NODE_OPTIONS=--disable-wasm-trap-handler';

function reasonOf(cause: unknown): string {
  if (typeof WebAssembly !== 'object') return 'this platform has no WebAssembly';
  if (cause instanceof RangeError) return NO_ROOM;
  return "WebAssembly could not be compiled; in a page, the content security policy has to allow 'wasm-unsafe-eval' in script-src";
}
