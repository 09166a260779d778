import type { OpenTelemetryApi } from './api.js';

/** The W3C traceparent of the active OpenTelemetry span, or null where there is none. */
export function activeTraceparent({
  trace,
  isSpanContextValid,
}: Pick<OpenTelemetryApi, 'trace' | 'isSpanContextValid'>): string | null {
  const spanContext = trace.getActiveSpan()?.spanContext();
  if (spanContext === undefined || !isSpanContextValid(spanContext)) return null;
  const flags = (spanContext.traceFlags & 0xff).toString(16).padStart(2, '0');
  return `00-${spanContext.traceId}-${spanContext.spanId}-${flags}`;
}
