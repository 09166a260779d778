// Models of the worker: their sources, loading, replacement and release, and the memory that they need.
export { modelBelow } from './allowed-paths.js';
export { modelAtUrl } from './allowed-urls.js';
export { type CommitOptions, checkCommitOptions, checkName } from './commit-options.js';
export { Generation, type LoadedShard } from './generation.js';
export { load, release } from './load.js';
export { LoadWatch } from './load-watch.js';
export { ModelTable } from './model-table.js';
export { Reservations } from './reservations.js';
export { plannedBytes, roomFor } from './room.js';
export { ShardWatch } from './shard-watch.js';
export type { SourceModel } from './source-model.js';
export { asTensors } from './tensor-layout.js';
export { modelView } from './view.js';
