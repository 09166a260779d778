import { type End, ForeignCalls, firstEnd, isVramError, VramError } from '../base/index.js';
import type { Observer, OperationEvent } from './events.js';

/** How long observers may keep an operation waiting. */
export interface ObserverLimits {
  readonly calls: ForeignCalls;
  /** Milliseconds for one event, a flush or a close. */
  readonly observerMs: number;
}

/** An observer that could not be flushed or closed. */
export interface ObserverFailure {
  readonly name: string;
  readonly error: VramError;
}

export const DEFAULT_OBSERVER_MS = 30_000;

/**
 * Tells observers what happens, in order, and finds out whether the required ones could take it. One that has not answered
 * in time is told of everything that follows, but not waited for until it answers: it costs one limit, not one an event.
 */
export class Observers {
  readonly #observers: readonly Observer[];
  readonly #limits: ObserverLimits;
  /** Releases are never held up (AU-005): those that an observer could not take are sent again once it takes something. */
  readonly #unreported = new Map<Observer, OperationEvent[]>();
  /** Those that have not answered in time, and nothing since. */
  readonly #overdue = new Set<Observer>();

  constructor(
    observers: readonly Observer[],
    limits: ObserverLimits = { calls: new ForeignCalls(), observerMs: DEFAULT_OBSERVER_MS },
  ) {
    this.#observers = observers;
    this.#limits = limits;
  }

  /** Releases that a required observer has not been able to record yet. */
  get unreportedReleases(): number {
    let count = 0;
    for (const events of this.#unreported.values()) count += events.length;
    return count;
  }

  /**
   * Every observer is called before this returns its promise, so order is the order of calls. Resolves to the failure of a
   * required one: AUDIT_FAILED, also for one that did not answer in time, or before one of `ends` had ended.
   */
  async emit(event: OperationEvent, ends: readonly End[] = []): Promise<VramError | null> {
    const failures = await Promise.all(
      this.#observers.map((observer) => this.#emitTo(observer, event, ends)),
    );
    return failures.find((failure) => failure !== null) ?? null;
  }

  /**
   * Waits until everything emitted is safe, no longer than until one of `ends` has ended. Resolves to the failures, also of
   * observers that are not required.
   */
  async flush(ends: readonly End[] = []): Promise<readonly ObserverFailure[]> {
    return await this.#each((observer) => observer.flush?.(), ends);
  }

  /** As flush(). Every observer is told to close, whatever has ended. */
  async close(ends: readonly End[] = []): Promise<readonly ObserverFailure[]> {
    return await this.#each((observer) => observer.close?.(), ends);
  }

  async #emitTo(observer: Observer, event: OperationEvent, ends: readonly End[]): Promise<VramError | null> {
    const release = observer.required && event.type === 'vram.deallocated';
    const late: Late = {
      taken: () => this.#forget(observer, event),
      failed: () => this.#keep(observer, event),
    };
    try {
      await this.#call(observer, () => observer.on(event), ends, release ? late : {});
    } catch (error) {
      // One that nobody waits for may take it yet: it is kept when that fails.
      if (release && firstEnd(ends) === null) this.#keep(observer, event);
      return failureOf(observer, error, ends);
    }
    // One that owes an answer may take what it was told of yet.
    if (!this.#overdue.has(observer)) await this.#retryUnreported(observer, ends);
    return null;
  }

  /**
   * Calls an observer, at once, and waits for it within the limits. Rejects with its failure, or with what ended the wait.
   */
  async #call(
    observer: Observer,
    act: () => void | Promise<void>,
    ends: readonly End[],
    late: Late = {},
  ): Promise<void> {
    const { calls, observerMs } = this.#limits;
    const answer = act();
    if (answer === undefined) return;
    const answered = (): void => void this.#overdue.delete(observer);
    const overdue = new VramError(
      'AUDIT_FAILED',
      `the observer "${observer.name}" has not answered for ${observerMs} ms`,
    );
    if (this.#overdue.has(observer)) {
      afterwards(answer, answered, late);
      throw overdue;
    }
    const stalled = (): VramError => {
      this.#overdue.add(observer);
      return overdue;
    };
    try {
      await calls.run(() => answer, { limitMs: observerMs, stalled, ends });
    } catch (error) {
      afterwards(answer, answered, late);
      throw error;
    }
  }

  #keep(observer: Observer, event: OperationEvent): void {
    const kept = this.#unreported.get(observer) ?? [];
    if (!kept.includes(event)) this.#unreported.set(observer, [...kept, event]);
  }

  #forget(observer: Observer, event: OperationEvent): void {
    const kept = (this.#unreported.get(observer) ?? []).filter((one) => one !== event);
    if (kept.length > 0) this.#unreported.set(observer, kept);
    else this.#unreported.delete(observer);
  }

  async #retryUnreported(observer: Observer, ends: readonly End[]): Promise<void> {
    const events = this.#unreported.get(observer);
    if (events === undefined) return;
    this.#unreported.delete(observer);
    while (events.length > 0) {
      const [event] = events;
      if (event === undefined) return;
      try {
        await this.#call(observer, () => observer.on(event), ends, {
          taken: () => this.#forget(observer, event),
        });
        events.shift();
      } catch {
        // Still failing: they stay counted, and are sent at the next chance, before what failed meanwhile.
        this.#unreported.set(observer, [...events, ...(this.#unreported.get(observer) ?? [])]);
        return;
      }
    }
  }

  async #each(
    act: (observer: Observer) => void | Promise<void>,
    ends: readonly End[],
  ): Promise<readonly ObserverFailure[]> {
    const failures = await Promise.all(
      this.#observers.map(async (observer) => {
        try {
          await this.#call(observer, () => act(observer), ends);
          return [];
        } catch (error) {
          return [{ name: observer.name, error: asAuditFailure(observer, error, 'failed') }];
        }
      }),
    );
    return failures.flat();
  }
}

/** What becomes of an answer that nobody waits for. */
interface Late {
  readonly taken?: () => void;
  readonly failed?: () => void;
}

function afterwards(answer: Promise<void>, answered: () => void, { taken, failed }: Late): void {
  answer.then(
    () => {
      answered();
      taken?.();
    },
    () => {
      answered();
      failed?.();
    },
  );
}

function failureOf(observer: Observer, error: unknown, ends: readonly End[]): VramError | null {
  if (!observer.required) return null;
  const what = firstEnd(ends) === null ? 'failed' : 'was not waited for: the operation was over';
  return asAuditFailure(observer, error, what);
}

function asAuditFailure({ name, required }: Observer, error: unknown, what: string): VramError {
  if (isVramError(error, 'AUDIT_FAILED') || isVramError(error, 'AUDIT_CORRUPT')) return error;
  const which = required ? 'required observer' : 'observer';
  return new VramError('AUDIT_FAILED', `the ${which} "${name}" ${what}`, { cause: error });
}
