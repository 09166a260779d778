export { EngineView } from './engine-view.js';
export type { Ledger, WatchedTensor, WitnessCounts } from './ledger.js';
