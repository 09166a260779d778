/** The fields of a W3C traceparent (Trace Context, section 3.2.2), each in lowercase hexadecimal. */
export interface Traceparent {
  readonly traceId: string;
  /** Of the caller's span; the standard calls it parent-id. */
  readonly spanId: string;
  readonly flags: string;
}

/** A traceparent in events and records: any version, any ids. Source of a regular expression, for use inside others. */
export const RECORDED_TRACEPARENT = '[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}';

const RECORDED = new RegExp(`^${RECORDED_TRACEPARENT}$`);
const VERSION_00 = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** Accepted from callers: version 00, with ids that are not all zeros. */
export function isCallersTraceparent(value: unknown): value is string {
  return typeof value === 'string' && VERSION_00.test(value);
}

/** The fields of a traceparent in an event or a record; null for null and for any other text. */
export function parseTraceparent(text: string | null): Traceparent | null {
  if (text === null || !RECORDED.test(text)) return null;
  const [, traceId = '', spanId = '', flags = ''] = text.split('-');
  return { traceId, spanId, flags };
}
