// Spans and metrics for OpenTelemetry. It observes events and is never called directly.
// The API package is the caller's: only its types enter here.
export { activeTraceparent } from './active.js';
export { type TelemetryOptions, telemetryObserver } from './observer.js';
