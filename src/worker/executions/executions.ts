import { createHash } from 'node:crypto';
import {
  type EndData,
  ERROR_ANSWERS,
  type ExecuteRequest,
  type ExecutionView,
} from '../../api-schema/index.js';
import { type Clock, canonicalBytes, VramError } from '../../base/index.js';
import { failureOf, ServiceError } from '../common/index.js';
import { Execution } from './execution.js';
import { ModelQueue } from './model-queue.js';

const DEFAULT_DEADLINE_MS = 600_000;
/** How long events are kept after the end. */
const KEPT_MS = 600_000;
/** Limit of the events of all ended executions together. */
const MOST_KEPT_BYTES = 256 * 2 ** 20;
/** Ended executions whose outcome can still be requested. */
const MOST_ENDED = 10_000;
/** Executions that have not ended, over all models: each may hold a request of a megabyte. */
const MOST_ACTIVE = 256;

/** The work of an execution: calls `start()` and `output()`, and resolves to the content of its end. */
export type Run = (execution: Execution) => Promise<EndData>;

/** A checked request, and how to carry it out. */
export interface Prepared {
  readonly run: Run;
  /** How many executions of the model may run at one time. */
  readonly atOnce: number;
}

export interface ExecutionsOptions {
  readonly clock: Clock;
  readonly instance: string;
  /** How many executions of one model may wait. */
  readonly mostQueued: number;
  /** Errors: those of a request that cannot be carried out, thrown before anything is queued. */
  readonly prepare: (request: ExecuteRequest) => Prepared;
  /** Receives unexpected failures. */
  readonly onUnforeseen: (error: unknown) => void;
}

/** All executions of a worker, by their ids. */
export class Executions {
  readonly #options: ExecutionsOptions;
  readonly #active = new Map<string, Execution>();
  /** In the order in which they ended. */
  readonly #ended = new Map<string, Execution>();
  /** Those of the ended whose events are kept, in the same order. */
  readonly #withEvents = new Set<Execution>();
  /** Size of the events of all of them. */
  #eventBytes = 0;
  readonly #queues = new Map<string, ModelQueue>();
  readonly #working = new Set<Promise<void>>();

  constructor(options: ExecutionsOptions) {
    this.#options = options;
  }

  get counts(): { readonly queued: number; readonly running: number } {
    const all = [...this.#active.values()];
    const running = all.filter(({ state }) => state === 'running').length;
    return { queued: all.length - running, running };
  }

  /** The models for which no further execution can wait. */
  get fullQueues(): readonly string[] {
    return [...this.#queues].flatMap(([model, queue]) => (queue.isFull ? [model] : []));
  }

  /**
   * Accepts an execution; a repeated request under the same id returns the same execution. Errors: INVALID_INPUT (409)
   * for the id of another request, QUEUE_FULL, and what `prepare` refuses.
   */
  submit(request: ExecuteRequest): ExecutionView {
    this.#expire();
    const requestDigest = digestOf(request);
    const known = this.#known(request.executionId);
    if (known !== null) {
      if (known.requestDigest === requestDigest) return known.view();
      throw new ServiceError('INVALID_INPUT', '"executionId" was used for another request; use a new one', {
        status: 409,
      });
    }
    const { run, atOnce } = this.#options.prepare(request);
    if (this.#active.size >= MOST_ACTIVE) {
      throw new ServiceError('QUEUE_FULL', `${MOST_ACTIVE} executions have not ended yet`, {
        retryAfterMs: 1_000,
      });
    }
    const queue = this.#queueOf(request.model);
    queue.requirePlace(atOnce);
    const { clock, instance } = this.#options;
    const deadlineMs = request.deadlineMs ?? DEFAULT_DEADLINE_MS;
    const execution = new Execution({ ...request, deadlineMs }, { clock, instance, requestDigest });
    execution.signal.addEventListener('abort', () => this.#noteEnd(execution), { once: true });
    this.#active.set(execution.id, execution);
    const working = queue.enter(atOnce, execution.signal, () => this.#carryOut(execution, run));
    const settled = working.finally(() => {
      this.#working.delete(settled);
      if (queue.running === 0 && queue.waiting === 0) this.#queues.delete(request.model);
    });
    this.#working.add(settled);
    return execution.view();
  }

  /** Errors: NOT_FOUND. */
  get(id: string): Execution {
    this.#expire();
    const known = this.#known(id);
    if (known !== null) return known;
    throw new VramError('NOT_FOUND', 'there is no such execution here, or it ended too long ago');
  }

  /** Ends it now, unless it has ended, without waiting for its computation. Errors: NOT_FOUND. */
  cancel(id: string): ExecutionView {
    const execution = this.get(id);
    execution.fail({ code: 'ABORTED', detail: 'it was cancelled', retriable: false });
    return execution.view();
  }

  /**
   * Weights of the model were found damaged, in the worker's memory or by an engine's guard: executions on them fail.
   */
  damaged(model: string, where: 'resident' | 'guarded' = 'resident'): void {
    for (const execution of [...this.#active.values()]) {
      const { started } = execution;
      if (execution.model !== model || started === null) continue;
      if ((started.weights === 'guarded') !== (where === 'guarded')) continue;
      execution.fail({
        code: 'INTEGRITY_VIOLATION',
        detail: 'the weights were found damaged while it ran',
        retriable: false,
      });
    }
  }

  /** Ends all active executions. */
  endAll(data: Parameters<Execution['fail']>[0]): void {
    for (const execution of [...this.#active.values()]) execution.fail(data);
  }

  /** Resolves when no computation is under way, also for executions that have ended. */
  async idle(): Promise<void> {
    while (this.#working.size > 0) await Promise.all(this.#working);
  }

  /** Never rejects. */
  async #carryOut(execution: Execution, run: Run): Promise<void> {
    if (execution.state === 'ended') return;
    try {
      execution.end(await run(execution));
    } catch (error) {
      if (!execution.fail(errorData(error))) return;
      if (!(error instanceof ServiceError || error instanceof VramError)) this.#options.onUnforeseen(error);
    }
  }

  #known(id: string): Execution | null {
    return this.#active.get(id) ?? this.#ended.get(id) ?? null;
  }

  #queueOf(model: string): ModelQueue {
    const queue = this.#queues.get(model) ?? new ModelQueue(this.#options.mostQueued);
    this.#queues.set(model, queue);
    return queue;
  }

  #noteEnd(execution: Execution): void {
    this.#active.delete(execution.id);
    this.#ended.set(execution.id, execution);
    this.#withEvents.add(execution);
    this.#eventBytes += execution.events.bytes;
    this.#expire();
  }

  /** Drops events that are too old or too many, and the oldest outcomes if there are too many. */
  #expire(): void {
    const now = this.#options.clock.monotonic();
    for (const execution of this.#withEvents) {
      if (now - execution.endedMs < KEPT_MS && this.#eventBytes <= MOST_KEPT_BYTES) break;
      this.#forgetEvents(execution);
    }
    while (this.#ended.size > MOST_ENDED) {
      const [oldest] = this.#ended.values();
      if (oldest === undefined) return;
      this.#forgetEvents(oldest);
      this.#ended.delete(oldest.id);
    }
  }

  #forgetEvents(execution: Execution): void {
    if (!this.#withEvents.delete(execution)) return;
    this.#eventBytes -= execution.events.bytes;
    execution.events.forget();
  }
}

/**
 * Equal for requests with equal content, in any order of keys. Errors: INVALID_INPUT for values that JSON cannot
 * represent.
 */
function digestOf(request: ExecuteRequest): string {
  const said = Object.entries(request).filter(([, value]) => value !== undefined);
  return createHash('sha256')
    .update(canonicalBytes(Object.fromEntries(said), 'body'))
    .digest('hex');
}

/** An error as the terminal event reports it. */
function errorData(error: unknown): Parameters<Execution['fail']>[0] {
  const { code, detail } = failureOf(error);
  return { code, detail, retriable: ERROR_ANSWERS[code].retriable };
}
