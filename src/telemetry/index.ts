// Spans and metrics for OpenTelemetry. It observes events; nobody calls it.
// The API package is the caller's: only its types enter here.
export { activeTraceparent } from './active.js';
export type { OpenTelemetryApi } from './api.js';
export { type TelemetryOptions, telemetryObserver } from './observer.js';
