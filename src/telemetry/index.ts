export { activeTraceparent } from './active.js';
export type { OpenTelemetryApi } from './api.js';
export { type TelemetryOptions, telemetryObserver } from './observer.js';
