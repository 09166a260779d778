import type { Attributes, Context, Span, Tracer } from '@opentelemetry/api';
import { parseTraceparent } from '../base/index.js';
import type { EventOf, OperationEvent } from '../events/index.js';
import { activeTraceparent } from './active.js';
import type { OpenTelemetryApi } from './api.js';

/** The context of a W3C traceparent, or null if it has none. */
function contextOf(api: OpenTelemetryApi, traceparent: string | null): Context | null {
  const parsed = parseTraceparent(traceparent);
  if (parsed === null) return null;
  const { traceId, spanId, flags } = parsed;
  const spanContext = { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true };
  return api.isSpanContextValid(spanContext) ? api.trace.setSpanContext(api.ROOT_CONTEXT, spanContext) : null;
}

interface Running {
  readonly span: Span;
  readonly context: Context;
  /**
   * When it began, by both clocks: times within an operation are the wall clock's beginning and monotonic steps from there.
   */
  readonly startedMs: number;
  readonly startedMonotonicMs: number;
}

function timeOf(running: Running, monotonicMs: number): number {
  return running.startedMs + (monotonicMs - running.startedMonotonicMs);
}

/** One span an operation, one child a timed stage. */
export class OperationSpans {
  readonly #api: OpenTelemetryApi;
  readonly #tracer: Tracer;
  readonly #running = new Map<string, Running>();

  constructor(api: OpenTelemetryApi, tracer: Tracer) {
    this.#api = api;
    this.#tracer = tracer;
  }

  on(event: OperationEvent): void {
    if (event.type === 'operation.started') this.#start(event);
    else if (event.type === 'operation.stage') this.#stage(event);
    else if (event.type === 'operation.finished') this.#finish(event);
    else this.#note(event);
  }

  #start(event: EventOf<'operation.started'>): void {
    // What the caller passed counts; where that is the active span, which is still active here, the span itself serves
    // better than its name.
    const active = this.#api.context.active();
    const parent =
      event.traceparent === activeTraceparent()
        ? active
        : (contextOf(this.#api, event.traceparent) ?? active);
    const span = this.#tracer.startSpan(
      `vram_residency.${event.operation}`,
      { startTime: Date.parse(event.at), attributes: attributesOf(event) },
      parent,
    );
    this.#running.set(event.operationId, {
      span,
      context: this.#api.trace.setSpan(parent, span),
      startedMs: Date.parse(event.at),
      startedMonotonicMs: event.monotonicMs,
    });
  }

  #stage(event: EventOf<'operation.stage'>): void {
    const running = this.#running.get(event.operationId);
    if (running === undefined) return;
    const start = timeOf(running, event.startedMonotonicMs);
    const attributes: Attributes =
      event.byteLength === null ? {} : { 'vram_residency.byte_length': event.byteLength };
    this.#tracer
      .startSpan(
        `vram_residency.${event.operation}.${event.stage}`,
        { startTime: start, attributes },
        running.context,
      )
      .end(event.durationMs === null ? timeOf(running, event.monotonicMs) : start + event.durationMs);
  }

  #finish(event: EventOf<'operation.finished'>): void {
    const running = this.#running.get(event.operationId);
    if (running === undefined) return;
    this.#running.delete(event.operationId);
    running.span.setAttributes(attributesOf(event));
    if (event.error !== null) {
      running.span.setAttribute('error.type', event.error.code);
      running.span.setStatus({ code: this.#api.SpanStatusCode.ERROR, message: event.error.message });
    }
    running.span.end(timeOf(running, event.monotonicMs));
  }

  #note(event: OperationEvent): void {
    const running = this.#running.get(event.operationId);
    running?.span.addEvent(event.type, attributesOf(event), timeOf(running, event.monotonicMs));
  }
}

function attributesOf(event: OperationEvent): Attributes {
  return {
    'vram_residency.worker_id': event.workerId,
    'vram_residency.correlation_id': event.correlationId,
    ...(event.device === null
      ? {}
      : {
          'hw.id': event.device.id,
          'hw.name': event.device.name,
          'vram_residency.residency': event.device.residency,
        }),
    ...(event.shardId === null ? {} : { 'vram_residency.shard_id': event.shardId }),
    ...(event.modelRef === null ? {} : { 'vram_residency.model_ref': event.modelRef }),
  };
}
