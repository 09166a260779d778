// Executions: their states, queues and engines.
export { type EngineEndpoint, type LeaseHolders, runGuarded, runLeased } from './engine-run.js';
export { Execution } from './execution.js';
export { Executions, type ExecutionsOptions, type Prepared } from './executions.js';
export { runOnnx } from './onnx-run.js';
export type { EngineAddress } from './relay/index.js';
