import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type {
  Attested,
  CommitRequest,
  Committed,
  Drilled,
  DrillRequest,
  ExecuteRequest,
  ExecutionEvent,
  ExecutionView,
  ModelOutcome,
  ModelView,
  Plan,
  PlanRequest,
  WorkerEvent,
  WorkerStatus,
} from '../api-schema/index.js';
import {
  checkInteger,
  invalidInput,
  isVramError,
  MAX_TIMER_MS,
  parseStrictJson,
  VramError,
} from '../base/index.js';
import {
  type AnswerCheck,
  isAttested,
  isCommitted,
  isDrilled,
  isEvent,
  isExecution,
  isExecutionEvent,
  isModelList,
  isModelView,
  isNothing,
  isOutcome,
  isPlan,
  isStatus,
} from './answers.js';
import { type Call, Connection, type WorkerAddress } from './connection.js';
import { followEvents } from './follow-events.js';
import { errorOfAnswer, WorkerError } from './worker-error.js';
import { WorkerRun } from './worker-run.js';

/** The worker's address, and how to connect. */
export type WorkerClientOptions = WorkerAddress & {
  /**
   * Bearer token; omit it where the socket's file rights suffice. It stays in memory with the client: strings cannot be
   * zeroed.
   */
  readonly token?: string | undefined;
};

/** Options of every call. */
export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Time limit for the answer, over all attempts; milliseconds. Default 30,000; 600,000 for what hashes or wipes models. */
  readonly timeoutMs?: number | undefined;
}

/** Options of a stream of events. */
export interface EventOptions {
  readonly signal?: AbortSignal | undefined;
  /** Only events of this model. */
  readonly model?: string | undefined;
  /** Begins after this event, as far back as the worker stores them; default: with the next one. */
  readonly after?: number | undefined;
}

const SHORT_MS = 30_000;
const LONG_MS = 600_000;
/** Attempts at a call whose connection drops, and the pause before the second; each further pause is twice as long. */
const ATTEMPTS = 4;
const PAUSE_MS = 100;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

interface Ask<T> {
  readonly method: Call['method'];
  readonly path: string;
  readonly body?: unknown;
  readonly longest: number;
  readonly check: AnswerCheck<T>;
  /** Safe to repeat: a read, or a request that the worker recognises by its Idempotency-Key. */
  readonly repeatable: boolean;
}

/**
 * A client of one worker. Every call that changes something has its own Idempotency-Key, so it is repeated after a
 * dropped connection and the change is made once. It also has X-Instance: a worker that has restarted since the
 * client's first change refuses it, and the call fails with WORKER_LOST.
 *
 * Errors of every method: WorkerError with the worker's code, or WORKER_LOST (no answer), DEADLINE_UNMET (not in time),
 * DEVICE_UNAVAILABLE (the answer is not a worker's); VramError with INVALID_INPUT (an argument) or ABORTED (the
 * signal).
 */
export class WorkerClient {
  readonly #connection: Connection;
  readonly #run = new WorkerRun(async (signal) => (await this.status({ signal })).instance);

  constructor(options: WorkerClientOptions) {
    this.#connection = new Connection(options, options.token ?? null);
  }

  /** The worker, its device, its memory and its models. */
  async status(options: CallOptions = {}): Promise<WorkerStatus> {
    return await this.#read('/v1/status', isStatus, options);
  }

  async models(options: CallOptions = {}): Promise<readonly ModelView[]> {
    return (await this.#read('/v1/models', isModelList, options)).models;
  }

  async model(name: string, options: CallOptions = {}): Promise<ModelView> {
    return await this.#read(modelPath(name), isModelView, options);
  }

  /** Reserves memory for a model to be committed. Not repeated: each plan reserves memory until it expires. */
  async plan(request: PlanRequest, options: CallOptions = {}): Promise<Plan> {
    const ask = {
      method: 'POST',
      path: '/v1/plan',
      longest: SHORT_MS,
      check: isPlan,
      repeatable: false,
    } as const;
    return await this.#ask({ ...ask, body: request }, options);
  }

  /** Starts loading a model; `events()` and `model()` report its progress. */
  async commit(request: CommitRequest, options: CallOptions = {}): Promise<Committed> {
    return await this.#change('/v1/models', request, isCommitted, SHORT_MS, options);
  }

  /** Cancels a model's load or waits for its users, then wipes it. */
  async remove(name: string, options: CallOptions = {}): Promise<void> {
    const ask = { method: 'DELETE', path: modelPath(name), longest: LONG_MS, repeatable: true } as const;
    await this.#ask({ ...ask, check: isNothing }, options);
  }

  /** Hashes every shard where it lies. Damage is an outcome (`ok: false`), not an error. */
  async verify(name: string, options: CallOptions = {}): Promise<ModelOutcome> {
    return await this.#change(`${modelPath(name)}/verify`, undefined, isOutcome, LONG_MS, options);
  }

  /** Repairs damaged blocks from the model's source. */
  async heal(name: string, options: CallOptions = {}): Promise<ModelOutcome> {
    return await this.#change(`${modelPath(name)}/heal`, undefined, isOutcome, LONG_MS, options);
  }

  /** Verifies every shard and signs the result together with the nonce: 16 to 64 bytes chosen by the caller, in hex. */
  async attest(name: string, nonce: string, options: CallOptions = {}): Promise<Attested> {
    return await this.#change(`${modelPath(name)}/attest`, { nonce }, isAttested, LONG_MS, options);
  }

  /** Flips bits of resident bytes on purpose; only where the worker was started with drills. */
  async drill(name: string, request: DrillRequest = {}, options: CallOptions = {}): Promise<Drilled> {
    return await this.#change(`${modelPath(name)}/drill`, request, isDrilled, LONG_MS, options);
  }

  /** The worker refuses new work, waits for running work, and wipes everything unless `keep`. */
  async drain(request: { readonly keep?: boolean } = {}, options: CallOptions = {}): Promise<WorkerStatus> {
    return await this.#change('/v1/drain', request, isStatus, LONG_MS, options);
  }

  /**
   * The worker's events, until `signal` fires or the loop is left. After a dropped connection it reconnects and resumes
   * after the last event; before the first event, events between two connections are missed unless `after` was given.
   * Errors besides the common ones: EVENTS_EXPIRED where the worker no longer stores the next events; WORKER_LOST where
   * another run of it answers, whose events are numbered from the start.
   */
  events(options: EventOptions = {}): AsyncGenerator<WorkerEvent, void> {
    const { model, after, signal } = options;
    if (model !== undefined) checkName(model);
    if (after !== undefined) checkInteger('after', after, 0, Number.MAX_SAFE_INTEGER);
    return followEvents(this.#connection, {
      path: model === undefined ? '/v1/events' : `/v1/events?model=${model}`,
      after: after ?? null,
      signal,
      instance: async () => (await this.status({ signal })).instance,
      check: isEvent,
      isLast: () => false,
    });
  }

  /** Queues an execution. Under the same `executionId` the same request is executed once, however often it is sent. */
  async execute(request: ExecuteRequest, options: CallOptions = {}): Promise<ExecutionView> {
    return await this.#change('/v1/execute', request, isExecution, SHORT_MS, options);
  }

  /** Its state; `terminal` is how it ended. */
  async execution(executionId: string, options: CallOptions = {}): Promise<ExecutionView> {
    return await this.#read(executionPath(executionId), isExecution, options);
  }

  /** Ends it. Safe to call repeatedly. */
  async cancel(executionId: string, options: CallOptions = {}): Promise<ExecutionView> {
    return await this.#change(
      `${executionPath(executionId)}/cancel`,
      undefined,
      isExecution,
      SHORT_MS,
      options,
    );
  }

  /**
   * The events of an execution up to its `end` or `error`, or to the signal; `after` as in events(), default: from the first
   * on. Leaving the loop does not end the execution. Errors as of events().
   */
  executionEvents(
    executionId: string,
    { signal, after }: Omit<EventOptions, 'model'> = {},
  ): AsyncGenerator<ExecutionEvent, void> {
    if (after !== undefined) checkInteger('after', after, 0, Number.MAX_SAFE_INTEGER);
    const path = executionPath(executionId);
    return followEvents(this.#connection, {
      path: `${path}/events`,
      after: after ?? 0,
      signal,
      instance: async () => (await this.#read(path, isExecution, { signal })).instance,
      check: isExecutionEvent,
      isLast: ({ type }) => type === 'end' || type === 'error',
    });
  }

  #read<T>(path: string, check: AnswerCheck<T>, options: CallOptions): Promise<T> {
    return this.#ask({ method: 'GET', path, longest: SHORT_MS, check, repeatable: true }, options);
  }

  #change<T>(
    path: string,
    body: unknown,
    check: AnswerCheck<T>,
    longest: number,
    options: CallOptions,
  ): Promise<T> {
    return this.#ask({ method: 'POST', path, body, longest, check, repeatable: true }, options);
  }

  async #ask<T>(
    { method, path, body, longest, check, repeatable }: Ask<T>,
    options: CallOptions,
  ): Promise<T> {
    const { signal } = options;
    const changes = method !== 'GET' && repeatable;
    const timeoutMs = checkInteger('timeoutMs', options.timeoutMs ?? longest, 1, MAX_TIMER_MS);
    const call = {
      method,
      path,
      headers: changes
        ? { 'idempotency-key': randomUUID(), 'x-instance': await this.#run.instance(signal) }
        : {},
      body: body === undefined ? null : JSON.stringify(body),
      signal,
    };
    const end = performance.now() + timeoutMs;
    for (let attempt = 1; ; attempt++) {
      if (signal?.aborted === true) throw new VramError('ABORTED', 'the call was aborted');
      try {
        const left = Math.max(1, Math.ceil(end - performance.now()));
        return answerOf(await this.#connection.ask({ ...call, timeoutMs: left }), check);
      } catch (error) {
        const pause = PAUSE_MS * 2 ** (attempt - 1);
        const dropped = error instanceof WorkerError && error.code === 'WORKER_LOST' && error.status === null;
        if (!dropped || !repeatable || attempt === ATTEMPTS || performance.now() + pause >= end)
          throw changes ? await this.#run.explain(error, signal) : error;
        // Ended by the signal, the loop's first line says so.
        await sleep(pause, undefined, { signal }).catch(() => undefined);
      }
    }
  }
}

function modelPath(name: string): string {
  return `/v1/models/${checkName(name)}`;
}

function executionPath(id: string): string {
  return `/v1/executions/${checkName(id, 'executionId')}`;
}

function checkName(name: string, argument = 'name'): string {
  if (typeof name === 'string' && NAME.test(name)) return name;
  throw invalidInput(argument, 'must be 1 to 128 of [A-Za-z0-9._-], beginning with a letter or digit');
}

function answerOf<T>({ status, text }: { status: number; text: string }, check: AnswerCheck<T>): T {
  const value = text === '' ? null : parse(text);
  if (status >= 200 && status < 300) {
    if (check(value)) return value;
    throw new WorkerError(
      'DEVICE_UNAVAILABLE',
      'the worker answers in a form that this version does not support',
      {
        status,
      },
    );
  }
  throw (
    errorOfAnswer(value) ??
    new WorkerError('DEVICE_UNAVAILABLE', `the answer, ${status}, is not a worker's`, { status })
  );
}

function parse(text: string): unknown {
  try {
    // Depth is bounded too: a value that is nested too deeply can be parsed but not serialised again.
    return parseStrictJson(text, { what: 'the answer' });
  } catch (cause) {
    if (!isVramError(cause)) throw cause;
    throw new WorkerError('DEVICE_UNAVAILABLE', 'what answers is not a worker', { cause });
  }
}
