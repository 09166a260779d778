// ONNX Runtime Web over sealed buffers: the graph without its weights, sessions, and the witness.
export type {
  Engine,
  EngineProvider,
  EngineSession,
  EngineTensor,
  EngineType,
  TensorLayout,
} from './engine.js';
export type { MovingTensor, StayingTensor, StayReason } from './graph/index.js';
export { type RunOptions, type RunResult, run, runAndTell, type Witness } from './run.js';
export { type SealedOnnx, sealOnnx } from './seal-onnx.js';
export { makeSession, OnnxSession, type SessionOptions, type SessionState } from './session.js';
