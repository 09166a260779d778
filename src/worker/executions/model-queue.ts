import { ServiceError } from '../common/index.js';

interface Waiting {
  /** Runs it, or drops it if it need not run any more. */
  readonly admit: (mayRun: boolean) => void;
  readonly most: number;
}

/** The queue of one model: runs a few at a time, in order of arrival, and bounds how many wait. */
export class ModelQueue {
  readonly #mostWaiting: number;
  readonly #waiting: Waiting[] = [];
  #running = 0;

  constructor(mostWaiting: number) {
    this.#mostWaiting = mostWaiting;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  get running(): number {
    return this.#running;
  }

  get isFull(): boolean {
    return this.#waiting.length >= this.#mostWaiting;
  }

  /** Errors: QUEUE_FULL where enter() would have to wait and the queue is full. */
  requirePlace(most: number): void {
    if (this.#isFree(most) || !this.isFull) return;
    throw new ServiceError('QUEUE_FULL', `${this.#mostWaiting} executions of this model are waiting`, {
      retryAfterMs: 1_000,
    });
  }

  /**
   * Runs `work` once fewer than `most` run. Work whose signal fires while it waits leaves the queue and never runs. Its
   * place in the queue is taken before this returns. Errors: those of `work`.
   */
  enter(most: number, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
    if (this.#isFree(most)) return this.#run(work);
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        const at = this.#waiting.indexOf(waiting);
        if (at >= 0) this.#waiting.splice(at, 1);
        waiting.admit(false);
        this.#next();
      };
      const waiting: Waiting = {
        most,
        admit: (mayRun) => {
          signal.removeEventListener('abort', leave);
          if (mayRun) this.#run(work).then(resolve, reject);
          else resolve();
        },
      };
      this.#waiting.push(waiting);
      signal.addEventListener('abort', leave, { once: true });
    });
  }

  #isFree(most: number): boolean {
    return this.#running < most && this.#waiting.length === 0;
  }

  async #run(work: () => Promise<void>): Promise<void> {
    this.#running += 1;
    try {
      await work();
    } finally {
      this.#running -= 1;
      this.#next();
    }
  }

  #next(): void {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      if (this.#running >= first.most) return;
      this.#waiting.shift();
      first.admit(true);
    }
  }
}
