// Benchmarks against peers on this machine.
export { benchPairs, benchStated } from './cases.js';
export type { Pair } from './measure.js';
