// Damage on purpose: seeded, recorded, allowed by an option alone.
export type { DrillArea, DrillFlip, DrillPattern } from './damage.js';
export { type DrillOptions, type DrillReport, drillShard } from './drill.js';
