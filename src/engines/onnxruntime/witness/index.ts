// A record of what an engine does with sealed buffers, dispatch by dispatch.
export { EngineView } from './engine-view.js';
export type { Ledger, WatchedTensor, WitnessCounts } from './ledger.js';
