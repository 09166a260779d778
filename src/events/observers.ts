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
 * Delivers events to observers in order and reports whether the required ones accepted them. An observer that has not
 * answered in time still receives every later event but is not waited for until it answers: it costs one time limit, not
 * one an event.
 */
export class Observers {
  readonly #observers: readonly Observer[];
  readonly #limits: ObserverLimits;
  /**
   * Releases are never held up (AU-005): release events that an observer did not accept are sent again once it accepts
   * something.
   */
  readonly #unreported = new Map<Observer, OperationEvent[]>();
  /** Observers that timed out and have not answered since. */
  readonly #overdue = new Set<Observer>();

  constructor(
    observers: readonly Observer[],
    limits: ObserverLimits = { calls: new ForeignCalls(), observerMs: DEFAULT_OBSERVER_MS },
  ) {
    this.#observers = observers;
    this.#limits = limits;
  }

  /** Release events that a required observer has not recorded yet. */
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
   * Waits until every emitted event is stored, or until one of `ends` has ended. Resolves to the failures, including
   * those of optional observers.
   */
  async flush(ends: readonly End[] = []): Promise<readonly ObserverFailure[]> {
    return await this.#each((observer) => observer.flush?.(), ends);
  }

  /** As flush(), but closes every observer, whatever has ended. */
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
      // An observer that is not waited for may still accept it: the event is kept in case that fails.
      if (release && firstEnd(ends) === null) this.#keep(observer, event);
      return failureOf(observer, error, ends);
    }
    // An observer that has not answered yet may still accept the event.
    if (!this.#overdue.has(observer)) await this.#retryUnreported(observer, ends);
    return null;
  }

  /**
   * Calls an observer, at once, and waits for it within the limits. Rejects with its failure, or with the reason that
   * ended the wait.
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
        // Still failing: these events stay queued, ahead of those that failed meanwhile, and are sent at the next chance.
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

/** Handles an answer that nothing waits for. */
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
