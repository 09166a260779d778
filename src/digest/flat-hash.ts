import { flatHash } from './hash-wasm/index.js';
import type { FlatHash } from './serial-stream.js';
import { WasmKernel, wasmSupported } from './wasm/index.js';

/**
 * A flat SHA-256 without a tree, on the engine that createPortableEngine() would choose. Errors: DEVICE_UNAVAILABLE where
 * WebAssembly cannot be run.
 */
export async function createFlatHash(): Promise<FlatHash> {
  if (!wasmSupported()) return flatHash();
  const kernel = await WasmKernel.create();
  kernel.beginFlat();
  return { update: (bytes) => kernel.update(bytes), digest: () => kernel.finish().flat };
}
