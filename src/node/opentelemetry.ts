import { createRequire } from 'node:module';
import type * as Api from '@opentelemetry/api';

let loaded: typeof Api | null = null;

/**
 * The OpenTelemetry API, loaded on first use: it is 50 files, a third of what importing this library took. The package is
 * CommonJS, so that `require` and every `import` of it in the program share one instance.
 */
export function openTelemetry(): typeof Api {
  loaded ??= createRequire(import.meta.url)('@opentelemetry/api') as typeof Api;
  return loaded;
}
