import { fromHex, VramError } from '../../base/index.js';
import { wasmHex } from '../../generated/wasm.js';
import { wasmRefused } from '../wasm-refused.js';

type WasmFunction = (...args: number[]) => number;

let compiled: Promise<WebAssembly.Module> | undefined;

/** One place for the text: a bundler that inlines constants would put it into a page twice. */
function moduleBytes(): Uint8Array<ArrayBuffer> {
  return fromHex(wasmHex);
}

/** True where this platform runs the module: WebAssembly with fixed-width SIMD. */
export function wasmSupported(): boolean {
  return typeof WebAssembly === 'object' && WebAssembly.validate(moduleBytes());
}

/** The module of assembly/, compiled once; an attempt that failed is made again. Errors: DEVICE_UNAVAILABLE. */
function compileOnce(): Promise<WebAssembly.Module> {
  compiled ??= compile().catch((error: unknown) => {
    compiled = undefined;
    throw error;
  });
  return compiled;
}

async function compile(): Promise<WebAssembly.Module> {
  const bytes = moduleBytes();
  try {
    return await WebAssembly.compile(bytes);
  } catch (cause) {
    // A module that does not validate needs a feature that this platform lacks; a valid module failed for another reason.
    if (typeof WebAssembly !== 'object' || WebAssembly.validate(bytes)) throw wasmRefused(cause);
    throw new VramError('DEVICE_UNAVAILABLE', 'WebAssembly with SIMD is not available on this platform', {
      cause,
    });
  }
}

/** A fresh instance: the module keeps its state in memory of its own. */
export class WasmInstance {
  readonly memory: WebAssembly.Memory;
  readonly #exports: WebAssembly.Exports;

  private constructor(instance: WebAssembly.Instance) {
    const { memory } = instance.exports;
    if (!(memory instanceof WebAssembly.Memory)) throw missing('memory');
    this.memory = memory;
    this.#exports = instance.exports;
  }

  /** Errors: DEVICE_UNAVAILABLE. */
  static async create(): Promise<WasmInstance> {
    const module = await compileOnce();
    try {
      return new WasmInstance(await WebAssembly.instantiate(module, {}));
    } catch (cause) {
      throw wasmRefused(cause);
    }
  }

  /** All functions of assembly/index.ts take and return numbers. */
  function(name: string): WasmFunction {
    const value = this.#exports[name];
    if (!isFunction(value)) throw missing(name);
    return value;
  }
}

function isFunction(value: unknown): value is WasmFunction {
  return typeof value === 'function';
}

function missing(name: string): VramError {
  return new VramError('DEVICE_UNAVAILABLE', `the WebAssembly module has no "${name}": build it again`);
}
