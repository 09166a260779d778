import { throwIfAborted } from '../../base/index.js';

/** Verification and leases share; healing, drills and release exclude. */
export type Hold = 'verify' | 'lease' | 'exclusive';

interface Waiter {
  readonly hold: Hold;
  readonly admit: () => void;
}

/**
 * A shard's read/write lock, first come first served, so that a release is not starved by a stream of leases. One
 * exception: while a lease is running, verifications pass a waiting writer. The lease's own callback may verify the shard,
 * and the writer waits for that lease.
 */
export class ShardLock {
  #verifications = 0;
  #leases = 0;
  #exclusive = false;
  readonly #queue: Waiter[] = [];

  /** Runs `work` while the hold lasts. Errors: ABORTED while waiting, and those of `work`. */
  async with<T>(hold: Hold, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    await this.#acquire(hold, signal);
    try {
      return await work();
    } finally {
      this.#release(hold);
    }
  }

  async #acquire(hold: Hold, signal: AbortSignal | undefined): Promise<void> {
    throwIfAborted(signal);
    const passes = hold === 'verify' && this.#leases > 0;
    if (this.#isFree(hold) && (this.#queue.length === 0 || passes)) {
      this.#take(hold);
      return;
    }
    await this.#wait(hold, signal);
  }

  #wait(hold: Hold, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#queue.splice(this.#queue.indexOf(waiter), 1);
        // Later waiters may have been blocked only by this one.
        this.#admitWaiting();
        try {
          throwIfAborted(signal);
        } catch (error) {
          reject(error);
        }
      };
      const waiter: Waiter = {
        hold,
        admit: () => {
          signal?.removeEventListener('abort', onAbort);
          resolve();
        },
      };
      this.#queue.push(waiter);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  #isFree(hold: Hold): boolean {
    if (this.#exclusive) return false;
    return hold !== 'exclusive' || this.#verifications + this.#leases === 0;
  }

  #take(hold: Hold): void {
    if (hold === 'exclusive') this.#exclusive = true;
    else if (hold === 'lease') this.#leases++;
    else this.#verifications++;
  }

  #release(hold: Hold): void {
    if (hold === 'exclusive') this.#exclusive = false;
    else if (hold === 'lease') this.#leases--;
    else this.#verifications--;
    this.#admitWaiting();
  }

  #admitWaiting(): void {
    for (let next = this.#queue[0]; next !== undefined && this.#isFree(next.hold); next = this.#queue[0]) {
      this.#queue.shift();
      this.#take(next.hold);
      next.admit();
    }
  }
}
