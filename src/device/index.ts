export { proveKnownAnswers } from './known-answers.js';
export type { SelectOptions, SkippedDevice } from './select.js';
export { selectDevice } from './select.js';
export * from './types.js';
