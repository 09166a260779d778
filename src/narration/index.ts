// One sentence for each event, for people. It only observes events; operations never call it.
// This room holds the wording and the code that keeps secrets out of it.
export { type ExpectedNarration, NarrationCapture } from './capture.js';
export { NARRATED_ACTIONS, type NarratedAction } from './catalogue.js';
export { consoleSink } from './console.js';
export { type NarrationOptions, narrationObserver } from './observer.js';
export type { Narration, NarrationLevel, NarrationSink } from './types.js';
