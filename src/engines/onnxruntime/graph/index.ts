// Separates an ONNX graph from its weights: decides which can move out, and writes the graph without them.
export { gpuOperands } from './operands.js';
export {
  elementTypeOf,
  type GraphPlan,
  type MovingTensor,
  planGraph,
  type StayingTensor,
  type StayReason,
} from './plan.js';
export { rewriteGraph } from './rewrite.js';
