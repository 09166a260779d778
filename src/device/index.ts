export { proveKnownAnswers } from './known-answers.js';
export { type SelectOptions, type SkippedDevice, selectDevice } from './select.js';
export * from './types.js';
