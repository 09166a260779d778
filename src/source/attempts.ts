import { onEnd, throwIfAborted } from '../base/index.js';
import type { Resource } from './resource.js';

const FIRST_WAIT_MS = 250;
const MAX_WAIT_MS = 4_000;
/** An attempt that delivers this many bytes shows that the connection works: the count of failures starts again. */
const PROGRESS_BYTES = 1_048_576;

/** How often an interrupted download is retried. */
export class Attempts {
  readonly #resource: Resource;
  readonly #retries: number;
  readonly #signal: AbortSignal | undefined;
  #failed = 0;
  #gained = 0;

  constructor(resource: Resource, retries: number, signal: AbortSignal | undefined) {
    this.#resource = resource;
    this.#retries = retries;
    this.#signal = signal;
  }

  /** New bytes arrived. */
  progress(bytes: number): void {
    this.#gained += bytes;
  }

  /** Waits until the next attempt may be made; throws the error if no attempts are left. Errors: ABORTED. */
  async next(error: unknown): Promise<void> {
    if (this.#gained >= PROGRESS_BYTES) this.#failed = 0;
    this.#gained = 0;
    if (this.#failed === this.#retries || !this.#resource.isInterruption(error)) throw error;
    this.#failed++;
    await pause(Math.min(FIRST_WAIT_MS * 2 ** (this.#failed - 1), MAX_WAIT_MS), this.#signal);
    throwIfAborted(this.#signal);
  }
}

/** Ends early with the signal. Unlike the library's other timers it keeps a process alive: the download is not over. */
function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      forget();
      resolve();
    }, ms);
    const forget = onEnd(signal, () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
