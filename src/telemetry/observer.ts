import type { MeterProvider, TracerProvider } from '@opentelemetry/api';
import { checkOptions, type OptionKeys } from '../base/index.js';
import type { Observer, OperationEvent } from '../events/index.js';
import { version } from '../generated/version.js';
import type { OpenTelemetryApi } from './api.js';
import { OperationMetrics } from './metrics.js';
import { OperationSpans } from './spans.js';

const SCOPE = 'vram-residency';

/** Options of telemetryObserver(). */
export interface TelemetryOptions {
  /** Default: the provider registered with the OpenTelemetry API; without an SDK that one does nothing. */
  readonly tracerProvider?: TracerProvider | undefined;
  readonly meterProvider?: MeterProvider | undefined;
}

const KEYS = { tracerProvider: true, meterProvider: true } satisfies OptionKeys<TelemetryOptions>;

/** Spans and metrics of every operation, through the OpenTelemetry API only. Errors: INVALID_INPUT for an unknown option. */
export function telemetryObserver(api: OpenTelemetryApi, options: TelemetryOptions = {}): Observer {
  checkOptions('options', options, KEYS);
  const tracers = options.tracerProvider ?? api.trace;
  const spans = new OperationSpans(api, tracers.getTracer(SCOPE, version));
  const measured = new OperationMetrics((options.meterProvider ?? api.metrics).getMeter(SCOPE, version));
  return {
    name: 'telemetry',
    required: false,
    on(event: OperationEvent): void {
      spans.on(event);
      measured.on(event);
    },
  };
}
