import { setFlagsFromString } from 'node:v8';
import { Serial } from '../../base/index.js';
import { dawnGpu } from '../devices/index.js';

const turns = new Serial();

/**
 * Runs `work` with globals that a page has and Node lacks: `navigator.gpu` and WebGPU's classes, which ONNX Runtime Web
 * reads while it makes a session. One call at a time; the globals are restored when it ends.
 *
 * Meanwhile the engine's 27 MB of WebAssembly are compiled by V8's baseline compiler alone: the optimising one would
 * take the CPUs that a software adapter computes on.
 */
export async function withGpuGlobals<T>(work: () => Promise<T>): Promise<T> {
  const gpu = await dawnGpu();
  const { globals } = await import('webgpu');
  return await turns.run(async () => {
    const restore = defineAll({ ...globals, navigator: { gpu } });
    setFlagsFromString('--liftoff-only');
    try {
      return await work();
    } finally {
      setFlagsFromString('--no-liftoff-only');
      restore();
    }
  });
}

/** Defines globals. Returns a function that restores the previous ones. */
function defineAll(values: Readonly<Record<string, unknown>>): () => void {
  const before = Object.keys(values).map(
    (name) => [name, Object.getOwnPropertyDescriptor(globalThis, name)] as const,
  );
  for (const [name, value] of Object.entries(values)) {
    Object.defineProperty(globalThis, name, { value, configurable: true, enumerable: false, writable: true });
  }
  return () => {
    for (const [name, descriptor] of before) {
      if (descriptor === undefined) Reflect.deleteProperty(globalThis, name);
      else Object.defineProperty(globalThis, name, descriptor);
    }
  };
}
