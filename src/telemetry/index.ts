export { activeTraceparent } from './active.js';
export { type TelemetryOptions, telemetryObserver } from './observer.js';
