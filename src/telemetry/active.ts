import type { ContextManager, Span } from '@opentelemetry/api';
import { isCallersTraceparent } from '../base/index.js';

/**
 * Where version 1 of the OpenTelemetry API keeps a program's registrations, and the key of the active span in a context.
 * Both are the same for every copy of that version, which is how copies of it work together. The API itself would be 11 kB
 * in each page, and 50 files in Node, only to say that nothing was registered.
 */
const REGISTERED = Symbol.for('opentelemetry.js.api.1');
const SPAN_KEY = Symbol.for('OpenTelemetry Context Key SPAN');

interface Registrations {
  readonly context?: Pick<ContextManager, 'active'>;
}

/** The W3C traceparent of the active OpenTelemetry span, or null where there is none. */
export function activeTraceparent(): string | null {
  const registered = (globalThis as { readonly [REGISTERED]?: Registrations })[REGISTERED];
  const span = registered?.context?.active().getValue(SPAN_KEY) as Span | undefined;
  if (span === undefined) return null;
  const { traceId, spanId, traceFlags } = span.spanContext();
  const traceparent = `00-${traceId}-${spanId}-${(traceFlags & 0xff).toString(16).padStart(2, '0')}`;
  // A span that is not recorded may have ids of zeros.
  return isCallersTraceparent(traceparent) ? traceparent : null;
}
