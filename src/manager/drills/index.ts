// Deliberate damage: seeded, recorded, and possible only with an option.
export type { DrillArea, DrillFlip, DrillPattern } from './damage.js';
export { type DrillOptions, type DrillReport, drillShard } from './drill.js';
