import type * as Api from '@opentelemetry/api';

/**
 * The OpenTelemetry API, from the entry that loads it: pages bundle it, Node loads it when it is first needed. Always the
 * instance that the program's SDK registers with, never a copy.
 */
export type OpenTelemetryApi = typeof Api;
