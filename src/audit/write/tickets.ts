import type { VramError } from '../../base/index.js';

/** The stages of an entry: taken from the queue; on stable storage; covered by a checkpoint. */
export type Stage = 'taken' | 'durable' | 'covered';

/** Waits until every entry up to `ticket` has reached a stage. */
interface Waiter {
  readonly ticket: number;
  readonly stage: Stage;
  readonly resolve: () => void;
  readonly reject: (error: VramError) => void;
}

/** Tracks the entries of a log, their stages and their waiters. A ticket is an entry's number, from 1 on. */
export class Tickets {
  #waiters: Waiter[] = [];
  #newest = 0;
  readonly #reached: Record<Stage, number> = { taken: 0, durable: 0, covered: -1 };

  /** The ticket of the newest entry; 0 before the first. */
  get newest(): number {
    return this.#newest;
  }

  get anyWaiting(): boolean {
    return this.#waiters.length > 0;
  }

  /** The newest ticket that has reached a stage; for `covered` -1 before the first checkpoint. */
  reached(stage: Stage): number {
    return this.#reached[stage];
  }

  isAwaited(stage: Stage): boolean {
    return this.#waiters.some((waiter) => waiter.stage === stage);
  }

  issue(): void {
    this.#newest += 1;
  }

  /** An entry goes ahead of all that are queued: each of them has the next ticket now. */
  issueFirst(): void {
    this.#newest += 1;
    this.#waiters = this.#waiters.map((waiter) => ({ ...waiter, ticket: waiter.ticket + 1 }));
  }

  /** Resolves once every entry so far has reached the stage. Rejects with the error of `rejectAll`. */
  wait(stage: Stage): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiters.push({ ticket: this.#newest, stage, resolve, reject });
    });
  }

  /** Entries up to `ticket` have reached the stage. Waiters are resolved by `settle`. */
  advance(stage: Stage, ticket: number): void {
    this.#reached[stage] = ticket;
  }

  /** Resolves the waits whose stage is reached. */
  settle(): void {
    const arrived = ({ ticket, stage }: Waiter): boolean => ticket <= this.#reached[stage];
    const ready = this.#waiters.filter(arrived);
    this.#waiters = this.#waiters.filter((waiter) => !arrived(waiter));
    for (const { resolve } of ready) resolve();
  }

  rejectAll(error: VramError): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const { reject } of waiters) reject(error);
  }
}
