// Benchmarks against peers on this machine.
export { benchPairs } from './cases.js';
export type { Pair } from './measure.js';
export { benchStated } from './stated.js';
