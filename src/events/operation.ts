import {
  type Clock,
  checkLabel,
  type End,
  type Ending,
  firstEnd,
  invalidInput,
  isCallersTraceparent,
  isVramError,
  type OptionKeys,
  timestamp,
  VramError,
} from '../base/index.js';
import {
  type EventContext,
  type EventDevice,
  type EventError,
  type EventPayloads,
  type EventType,
  FAIL_CLOSED,
  type OperationEvent,
  type OperationName,
  type StageName,
} from './events.js';
import type { Observers } from './observers.js';

/** Passed from the caller through every event of an operation (NA-003). */
export interface TraceOptions {
  /** At most 1024 bytes; a random one is made if none is given. */
  readonly correlationId?: string | undefined;
  /** W3C trace context, version 00. Default: that of the active OpenTelemetry span, if there is one. */
  readonly traceparent?: string | undefined;
}

// Adding an option to the interface, or removing one, does not compile until this list matches.
export const TRACE_KEYS = { correlationId: true, traceparent: true } satisfies OptionKeys<TraceOptions>;

/** Where operations report what they do. */
export interface EventSource {
  readonly workerId: string;
  readonly clock: Clock;
  readonly observers: Observers;
  /** What ends a wait for observers besides the caller's signal: the loss of the device, the close of the manager. */
  endings: readonly Ending[];
  readonly randomId: () => string;
  readonly nextOperation: () => number;
  /** The trace context of the current caller; null where there is none. */
  readonly activeTraceparent: () => string | null;
  device: EventDevice | null;
}

/** One operation under way: the context that its events share. */
export class Operation {
  readonly name: OperationName;
  readonly correlationId: string;
  readonly #source: EventSource;
  readonly #traceparent: string | null;
  readonly #operationId: string;
  readonly #started: number;
  readonly #signal: AbortSignal | undefined;
  #shardId: string | null = null;
  #modelRef: string | null = null;

  constructor(source: EventSource, name: OperationName, trace: CheckedTrace) {
    this.name = name;
    this.#source = source;
    this.#started = source.clock.monotonic();
    this.#operationId = `${name}-${source.nextOperation()}`;
    this.correlationId = trace.correlationId ?? source.randomId();
    this.#traceparent = trace.traceparent ?? source.activeTraceparent();
    this.#signal = trace.signal;
  }

  get clock(): Clock {
    return this.#source.clock;
  }

  /** Since the operation began, by the monotonic clock. */
  get elapsedMs(): number {
    return this.clock.monotonic() - this.#started;
  }

  /** Names the shard in all events from here on; null for events about several. */
  about(shard: { readonly shardId: string | null; readonly modelRef: string | null }): void {
    this.#shardId = shard.shardId;
    this.#modelRef = shard.modelRef;
  }

  /**
   * Notifies the observers and waits for them until the operation is aborted, the device is lost or the manager is
   * closed. Resolves to the failure of a required observer, which the caller has to handle.
   */
  emit<T extends EventType>(
    type: T,
    payload: EventPayloads[T],
    durationMs: number | null = null,
  ): Promise<VramError | null> {
    // Context, type and payload form the union's member for that type, which the compiler cannot verify for a generic T.
    const event = { ...this.#context(durationMs), type, ...payload } as unknown as OperationEvent;
    return this.#source.observers.emit(Object.freeze(event), observerEnds(this.#source, this.#signal));
  }

  /**
   * As emit(), for events that must be recorded. Errors: AUDIT_FAILED if a required observer did not accept the event;
   * ABORTED, DEVICE_LOST or STOPPED if the wait ended early.
   */
  async record<T extends EventType>(
    type: T,
    payload: EventPayloads[T],
    durationMs: number | null = null,
  ): Promise<void> {
    const ends = observerEnds(this.#source, this.#signal);
    const failure = await this.emit(type, payload, durationMs);
    if (failure !== null) throw firstEnd(ends) ?? failure;
  }

  /** Times a part of the operation. A failed stage emits no event: the end of its operation reports it. */
  async stage<T>(stage: StageName, byteLength: number | null, work: () => Promise<T>): Promise<T> {
    const startedMonotonicMs = this.clock.monotonic();
    const result = await work();
    await this.stageDone(stage, byteLength, startedMonotonicMs, this.clock.monotonic() - startedMonotonicMs);
    return result;
  }

  async stageDone(
    stage: StageName,
    byteLength: number | null,
    startedMonotonicMs: number,
    durationMs: number,
  ): Promise<void> {
    await this.emit('operation.stage', { stage, startedMonotonicMs, byteLength }, durationMs);
  }

  #context(durationMs: number | null): EventContext {
    const { workerId, clock, device } = this.#source;
    return {
      at: timestamp(clock),
      monotonicMs: clock.monotonic(),
      workerId,
      correlationId: this.correlationId,
      traceparent: this.#traceparent,
      operation: this.name,
      operationId: this.#operationId,
      device,
      shardId: this.#shardId,
      modelRef: this.#modelRef,
      durationMs,
    };
  }
}

/** What ends a wait for observers that begins now: events after a loss or a close are waited for again. */
export function observerEnds(
  { endings }: Pick<EventSource, 'endings'>,
  signal: AbortSignal | undefined,
): readonly End[] {
  return [signal, ...endings.filter((ending) => firstEnd([ending]) === null)];
}

/** Runs one operation between its `operation.started` and `operation.finished` events. */
export async function runOperation<T>(
  source: EventSource,
  name: OperationName,
  trace: TraceOptions | undefined,
  work: (operation: Operation) => Promise<T>,
): Promise<T> {
  const { checked, refusal } = checkTrace(trace);
  const operation = new Operation(source, name, checked);
  const auditFailure = await operation.emit('operation.started', {});
  try {
    if (refusal !== null) throw refusal;
    if (auditFailure !== null && FAIL_CLOSED.has(name)) throw auditFailure;
    const result = await work(operation);
    await operation.emit('operation.finished', { ok: true, error: null }, operation.elapsedMs);
    return result;
  } catch (error) {
    const reported = eventError(error);
    if (isVramError(error, 'INVALID_INPUT')) {
      const refused = { argument: error.argument ?? null, error: reported };
      await operation.emit('validation.failed', refused, operation.elapsedMs);
    }
    await operation.emit('operation.finished', { ok: false, error: reported }, operation.elapsedMs);
    throw error;
  }
}

/** An error as observers see it. Errors of foreign code are reported by kind only: the message may hold anything. */
export function eventError(error: unknown): EventError {
  if (error instanceof VramError) {
    return { code: error.code, kind: error.kind, scope: error.scope, message: error.message };
  }
  const { code, kind, scope } = new VramError('ABORTED', '');
  return { code, kind, scope, message: "the caller's own code threw" };
}

interface CheckedTrace extends TraceOptions {
  readonly signal?: AbortSignal | undefined;
}

/** The options of all operations, unchecked. */
interface OptionsAsGiven extends TraceOptions {
  readonly signal?: unknown;
  readonly onProgress?: unknown;
}

function checkTrace(trace: TraceOptions | undefined): { checked: CheckedTrace; refusal: VramError | null } {
  try {
    if (trace !== undefined && (typeof trace !== 'object' || trace === null)) {
      throw invalidInput('options', 'must be an object');
    }
    const { correlationId, traceparent, signal, onProgress }: OptionsAsGiven = trace ?? {};
    if (signal !== undefined && !(signal instanceof AbortSignal)) {
      throw invalidInput('signal', 'must be an AbortSignal');
    }
    if (onProgress !== undefined && typeof onProgress !== 'function') {
      throw invalidInput('onProgress', 'must be a function');
    }
    if (traceparent !== undefined && !isCallersTraceparent(traceparent)) {
      throw invalidInput('traceparent', 'must be a W3C traceparent of version 00');
    }
    return {
      checked: {
        correlationId: correlationId === undefined ? undefined : checkLabel('correlationId', correlationId),
        traceparent,
        signal,
      },
      refusal: null,
    };
  } catch (error) {
    if (error instanceof VramError) return { checked: {}, refusal: error };
    throw error;
  }
}
