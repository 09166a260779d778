import { WorkerError } from './worker-error.js';

/**
 * Which run of the worker changes are for. What an Idempotency-Key did is known to one run alone: without this, a change
 * that is tried again could be made twice, once by each of two runs.
 */
export class WorkerRun {
  readonly #ask: (signal: AbortSignal | undefined) => Promise<string>;
  #instance: string | null = null;

  /** `ask` returns the instance that answers now. */
  constructor(ask: (signal: AbortSignal | undefined) => Promise<string>) {
    this.#ask = ask;
  }

  /** The X-Instance header of a change. */
  async instance(signal: AbortSignal | undefined): Promise<string> {
    this.#instance ??= await this.#ask(signal);
    return this.#instance;
  }

  /**
   * What a refused change means: WORKER_LOST where another run answers than it was for, else the error itself. The next
   * change is for the run that answers then.
   */
  async explain(error: unknown, signal: AbortSignal | undefined): Promise<unknown> {
    if (!(error instanceof WorkerError) || error.code !== 'STALE_EPOCH') return error;
    if ((await this.#ask(signal)) === this.#instance) return error;
    this.#instance = null;
    const message =
      'another run of the worker answers: what the one before held is gone; read its state again';
    return new WorkerError('WORKER_LOST', message, { cause: error, retriable: false });
  }
}
