/**
 * ONNX Runtime over sealed weights, in Node. In pages `createSession` is the same and `openDevice` is absent.
 * @module vram-residency/onnxruntime
 */
import {
  type Engine,
  type EngineTensor,
  makeSession,
  type OnnxSession,
  type SealedOnnx,
  type SessionOptions,
} from './engines/index.js';
import { withGpuGlobals } from './node/index.js';

export * from './engine-exports.js';
export { openDevice } from './node/index.js';

/**
 * A session of `onnxruntime-web/webgpu`, given as `ort`, over sealed weights, on the device that holds them: one that
 * openDevice() opened and the manager was given. While the engine makes it, `navigator` and WebGPU's classes are globals,
 * as in a page; they are gone, or as before, when the promise settles. See OnnxSession and run().
 *
 * Errors: INVALID_INPUT (a device that is not the manager's, or no GPU; a model the engine refuses; another build of the
 * engine), DEVICE_LOST.
 */
export async function createSession<Tensor extends EngineTensor>(
  ort: Engine<Tensor>,
  sealed: SealedOnnx,
  options: SessionOptions,
): Promise<OnnxSession<Tensor>> {
  return await makeSession(ort, sealed, options, withGpuGlobals);
}
