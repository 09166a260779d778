import { createRequire } from 'node:module';
import type * as Api from '@opentelemetry/api';

/** The place where version 1 of the API stores a program's registrations, for every copy of the API in the process. */
const REGISTERED = Symbol.for('opentelemetry.js.api.1');

let loaded: typeof Api | null = null;

/**
 * The OpenTelemetry API, loaded on first use: it is 50 files, a third of what importing this library took. The package is
 * CommonJS, so that `require` and every `import` of it in the program share one instance.
 */
export function openTelemetry(): typeof Api {
  loaded ??= createRequire(import.meta.url)('@opentelemetry/api') as typeof Api;
  return loaded;
}

/**
 * False where nothing was registered with the API: then there is no active span, and the API need not be loaded to say so.
 */
export function spansCanBeActive(): boolean {
  return loaded !== null || REGISTERED in globalThis;
}
