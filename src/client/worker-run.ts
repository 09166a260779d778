import { WorkerError } from './worker-error.js';

/**
 * The run of the worker that changes are meant for. Only one run remembers an Idempotency-Key: without this check a
 * repeated change could be made twice, once by each of two runs.
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
   * The error of a refused change: WORKER_LOST if another run answers than it was meant for, else the error itself. The
   * next change is meant for the run that answers then.
   */
  async explain(error: unknown, signal: AbortSignal | undefined): Promise<unknown> {
    if (!(error instanceof WorkerError) || error.code !== 'STALE_EPOCH') return error;
    if ((await this.#ask(signal)) === this.#instance) return error;
    this.#instance = null;
    const message =
      'another run of the worker answers: models of the previous run are gone; read its state again';
    return new WorkerError('WORKER_LOST', message, { cause: error, retriable: false });
  }
}
