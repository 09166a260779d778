// vram-residency/onnxruntime in pages.
import {
  type Engine,
  type EngineTensor,
  makeSession,
  type OnnxSession,
  type SealedOnnx,
  type SessionOptions,
} from './engines/index.js';

export * from './engine-exports.js';

/**
 * A session of `onnxruntime-web/webgpu`, given as `ort`, over sealed weights, on the device that holds them: one that was
 * adopted by adoptGpuDevice() and given to the manager. See OnnxSession and run().
 *
 * Errors: INVALID_INPUT (a device that is not the manager's, or no GPU; a model the engine refuses; another build of the
 * engine), DEVICE_LOST.
 */
export async function createSession<Tensor extends EngineTensor>(
  ort: Engine<Tensor>,
  sealed: SealedOnnx,
  options: SessionOptions,
): Promise<OnnxSession<Tensor>> {
  return await makeSession(ort, sealed, options);
}
