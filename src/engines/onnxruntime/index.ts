export {
  type GraphPlan,
  type MovingTensor,
  planGraph,
  type StayingTensor,
  type StayReason,
} from './graph/index.js';
export { EngineView, type WitnessCounts } from './witness/index.js';
