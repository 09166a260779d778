import type {
  EndData,
  ErrorData,
  ExecuteRequest,
  ExecutionEvent,
  ExecutionMode,
  ExecutionState,
  ExecutionView,
  StartedData,
  TerminalEvent,
} from '../../api-schema/index.js';
import { type Clock, timerOf, timestamp } from '../../base/index.js';
import { EventLog, ServiceError } from '../common/index.js';

/** An event without its number in the log. */
type Draft<Event> = Event extends unknown ? Omit<Event, 'id' | 'at'> : never;
type ExecutionDraft = Draft<ExecutionEvent>;
type TerminalDraft = Draft<TerminalEvent>;
export type OutputData = Extract<ExecutionEvent, { readonly type: 'output' }>['data'];

/** Limits of one execution's events, for late readers. */
const EVENT_LIMITS = { events: 100_000, bytes: 16 * 2 ** 20 };
/** Bytes that surround an output in its event. */
const EVENT_FRAME_BYTES = 256;

/**
 * One execution: queued, running, ended. It ends exactly once, whatever happens to its caller, engine, device or log:
 * `end()` and `fail()` share the transition that writes the terminal event, and a second call changes nothing.
 */
export class Execution {
  readonly id: string;
  readonly mode: ExecutionMode;
  readonly model: string;
  /** Distinguishes a repeated request from a different one under the same id. */
  readonly requestDigest: string;
  readonly events: EventLog<ExecutionDraft>;
  readonly #clock: Clock;
  readonly #instance: string;
  readonly #ending = new AbortController();
  readonly #acceptedAt: string;
  readonly #acceptedMs: number;
  readonly #callOffDeadline: () => void;
  #state: ExecutionState = 'queued';
  #startedAt: string | null = null;
  #startedMs = 0;
  #started: StartedData | null = null;
  #outputs = 0;
  #outputBytes = 0;
  #endedAt: string | null = null;
  #endedMs = 0;
  #terminal: TerminalEvent | null = null;

  constructor(
    { executionId, mode, model, deadlineMs }: ExecuteRequest & { readonly deadlineMs: number },
    {
      clock,
      instance,
      requestDigest,
    }: { readonly clock: Clock; readonly instance: string; readonly requestDigest: string },
  ) {
    this.id = executionId;
    this.mode = mode;
    this.model = model;
    this.requestDigest = requestDigest;
    this.events = new EventLog(clock, EVENT_LIMITS);
    this.#clock = clock;
    this.#instance = instance;
    this.#acceptedAt = timestamp(clock);
    this.#acceptedMs = clock.monotonic();
    this.#callOffDeadline = timerOf(clock)(deadlineMs, () =>
      this.fail({
        code: 'DEADLINE_UNMET',
        detail: `it did not end within ${deadlineMs} ms`,
        retriable: true,
      }),
    );
  }

  get state(): ExecutionState {
    return this.#state;
  }

  /** Fires when it has ended for any reason: its work has no reader any more. */
  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  /** Monotonic milliseconds; 0 before it has ended. */
  get endedMs(): number {
    return this.#endedMs;
  }

  get started(): StartedData | null {
    return this.#started;
  }

  /** Its turn has come and its weights were verified. False if it has ended meanwhile. */
  start(about: Omit<StartedData, 'queuedMs'>): boolean {
    if (this.#state !== 'queued') return false;
    this.#state = 'running';
    this.#startedAt = timestamp(this.#clock);
    this.#startedMs = this.#clock.monotonic();
    this.#started = { ...about, queuedMs: this.#startedMs - this.#acceptedMs };
    this.events.append({ type: 'started', data: this.#started });
    return true;
  }

  /** `bytes`: the size of its data as JSON. Does nothing once it has ended. */
  output(data: OutputData, bytes: number): void {
    if (this.#state !== 'running') return;
    this.#outputs += 1;
    this.#outputBytes += bytes;
    this.events.append({ type: 'output', data }, bytes + EVENT_FRAME_BYTES);
  }

  /** It has succeeded. False if it had ended before. */
  end(data: EndData): boolean {
    if (this.#state === 'running') {
      this.events.append({
        type: 'metrics',
        data: {
          queuedMs: this.#started?.queuedMs ?? 0,
          runMs: this.#clock.monotonic() - this.#startedMs,
          outputs: this.#outputs,
          outputBytes: this.#outputBytes,
        },
      });
    }
    return this.#finish({ type: 'end', data });
  }

  /** It has failed. False if it had ended before. */
  fail(data: ErrorData): boolean {
    return this.#finish({ type: 'error', data });
  }

  view(): ExecutionView {
    return {
      executionId: this.id,
      instance: this.#instance,
      mode: this.mode,
      model: this.model,
      state: this.#state,
      acceptedAt: this.#acceptedAt,
      startedAt: this.#startedAt,
      endedAt: this.#endedAt,
      weights: this.#started?.weights ?? null,
      terminal: this.#terminal,
      lastEventId: this.events.lastId,
      events: `/v1/executions/${this.id}/events`,
    };
  }

  /** The only way to the end. */
  #finish(terminal: TerminalDraft): boolean {
    if (this.#state === 'ended') return false;
    this.#state = 'ended';
    this.#callOffDeadline();
    this.#endedMs = this.#clock.monotonic();
    this.#terminal = this.events.append(terminal);
    this.#endedAt = this.#terminal.at;
    this.events.end();
    this.#ending.abort(new ServiceError('ABORTED', 'the execution has ended'));
    return true;
  }
}
