export { benchPairs, benchStated } from './cases.js';
export type { Pair } from './measure.js';
