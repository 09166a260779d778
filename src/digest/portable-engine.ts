import { checkOneOf, invalidInput } from '../base/index.js';
import { HashWasmEngine } from './hash-wasm/index.js';
import type { DigestEngine } from './types.js';
import { WasmEngine, wasmSupported } from './wasm/index.js';

const PORTABLE = ['wasm', 'hash-wasm'] as const;

/**
 * The digest engine of pages, and of any platform without node:crypto: `wasm`, or `hash-wasm` where WebAssembly SIMD is
 * missing.
 * `name` forces one. Errors: INVALID_INPUT ("engine") for another name, and for `wasm` where it cannot run.
 */
export function createPortableEngine(name?: (typeof PORTABLE)[number]): DigestEngine {
  const forced = name === undefined ? undefined : checkOneOf('engine', name, PORTABLE);
  if (forced === 'hash-wasm') return new HashWasmEngine();
  if (wasmSupported()) return new WasmEngine();
  if (forced === 'wasm')
    throw invalidInput('engine', 'wasm needs WebAssembly SIMD, which this platform lacks');
  return new HashWasmEngine();
}
