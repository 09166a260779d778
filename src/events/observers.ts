import { isVramError, VramError } from '../base/index.js';
import type { Observer, OperationEvent } from './events.js';

/** Tells observers what happens, in order, and finds out whether the required ones could take it. */
export class Observers {
  readonly #observers: readonly Observer[];
  /** Releases are never held up (AU-005): those that an observer could not take are told again once it takes something. */
  readonly #untold = new Map<Observer, OperationEvent[]>();

  constructor(observers: readonly Observer[]) {
    this.#observers = observers;
  }

  /** Releases that a required observer has not been able to record yet. */
  get untoldReleases(): number {
    let count = 0;
    for (const events of this.#untold.values()) count += events.length;
    return count;
  }

  /** Every observer is called before this returns its promise, so order is the order of calls. Resolves to the failure of a required one. */
  async tell(event: OperationEvent): Promise<VramError | null> {
    const failures = await Promise.all(this.#observers.map((observer) => this.#tellOne(observer, event)));
    return failures.find((failure) => failure !== null) ?? null;
  }

  /** Waits until everything told is safe. Resolves to the failure of a required observer. */
  async flush(): Promise<VramError | null> {
    return await this.#each((observer) => observer.flush?.());
  }

  async close(): Promise<VramError | null> {
    return await this.#each((observer) => observer.close?.());
  }

  async #tellOne(observer: Observer, event: OperationEvent): Promise<VramError | null> {
    try {
      await observer.on(event);
    } catch (error) {
      if (observer.required && event.type === 'vram.deallocated') {
        this.#untold.set(observer, [...(this.#untold.get(observer) ?? []), event]);
      }
      return failureOf(observer, error);
    }
    await this.#retryUntold(observer);
    return null;
  }

  async #retryUntold(observer: Observer): Promise<void> {
    const events = this.#untold.get(observer);
    if (events === undefined) return;
    this.#untold.delete(observer);
    while (events.length > 0) {
      const [event] = events;
      if (event === undefined) return;
      try {
        await observer.on(event);
        events.shift();
      } catch {
        // Still failing: they stay counted, and are told at the next chance, before what failed meanwhile.
        this.#untold.set(observer, [...events, ...(this.#untold.get(observer) ?? [])]);
        return;
      }
    }
  }

  async #each(act: (observer: Observer) => Promise<void> | undefined): Promise<VramError | null> {
    const failures = await Promise.all(
      this.#observers.map(async (observer) => {
        try {
          await act(observer);
          return null;
        } catch (error) {
          return failureOf(observer, error);
        }
      }),
    );
    return failures.find((failure) => failure !== null) ?? null;
  }
}

function failureOf(observer: Observer, error: unknown): VramError | null {
  if (!observer.required) return null;
  if (isVramError(error, 'AUDIT_FAILED') || isVramError(error, 'AUDIT_CORRUPT')) return error;
  return new VramError('AUDIT_FAILED', `the required observer "${observer.name}" failed`, { cause: error });
}
