import { type End, endError, onEnd } from './ending.js';
import type { VramError } from './errors.js';
import { systemTimer, type Timer } from './timer.js';

/** How long a call is waited for. */
export interface CallLimits<T> {
  /** Milliseconds; without it only `ends` end the wait. */
  readonly limitMs?: number | undefined;
  /** The rejection at the limit. */
  readonly stalled?: (() => VramError) | undefined;
  /** Milliseconds since the last sign of life; the limit counts from there. */
  readonly idleMs?: (() => number) | undefined;
  /** The wait also ends with these: ABORTED for a signal, else the reason of the ending. */
  readonly ends?: readonly End[] | undefined;
  /** Given what an abandoned call resolved to after all, to close it. Must not throw. */
  readonly onLate?: ((value: T) => void) | undefined;
}

/** Abandoned calls: nothing waits for them any more. */
export interface AbandonedCalls {
  readonly total: number;
  /** How many of these ended later. The others may still hang. */
  readonly settled: number;
}

/**
 * Calls into code that is not the library's own: sources, observers, sinks, signers, fetch. Every wait is bounded;
 * whatever an abandoned call does later is dropped and counted.
 */
export class ForeignCalls {
  readonly #timer: Timer;
  #abandoned = 0;
  #settled = 0;

  constructor(timer: Timer = systemTimer) {
    this.#timer = timer;
  }

  get abandoned(): AbandonedCalls {
    return Object.freeze({ total: this.#abandoned, settled: this.#settled });
  }

  /**
   * Makes the call, before this returns, and waits for it within the limits. The call's signal fires when the call is
   * abandoned.
   * Errors: those of the call, of `stalled`, ABORTED, and the reasons of `ends`.
   */
  run<T>(
    call: (signal: AbortSignal) => T | PromiseLike<T>,
    { limitMs, stalled, idleMs, ends = [], onLate }: CallLimits<T>,
  ): Promise<T> {
    const givenUp = new AbortController();
    return new Promise<T>((resolve, reject) => {
      let waiting = true;
      const callOffs: (() => void)[] = [];
      /** False for a call that was abandoned before. */
      const end = (): boolean => {
        const first = waiting;
        waiting = false;
        for (const callOff of callOffs.splice(0)) callOff();
        return first;
      };
      const abandon = (error: VramError): void => {
        if (!end()) return;
        this.#abandoned++;
        reject(error);
        givenUp.abort(error);
      };
      started(() => call(givenUp.signal)).then(
        (value) => {
          if (end()) resolve(value);
          else {
            this.#settled++;
            onLate?.(value);
          }
        },
        (error: unknown) => {
          if (end()) reject(error);
          else this.#settled++;
        },
      );
      for (const one of ends) {
        if (waiting) callOffs.push(onEnd(one, (reason) => abandon(endError(one, reason))));
      }
      if (limitMs === undefined || stalled === undefined) return;
      const watch = (ms: number): void => {
        if (!waiting) return;
        const callOff = this.#timer(ms, () => {
          const idle = idleMs?.() ?? limitMs;
          if (idle < limitMs) watch(limitMs - idle);
          else abandon(stalled());
        });
        callOffs.push(callOff);
      };
      watch(limitMs);
    });
  }
}

/**
 * Foreign code that is called once at a time: while an abandoned call still runs, no other is made. A hanging callee
 * therefore costs one time limit, not one a call.
 */
export class Callee {
  readonly #calls: ForeignCalls;
  readonly #limitMs: number;
  readonly #stalled: () => VramError;
  #running: Promise<void> | null = null;

  constructor(calls: ForeignCalls, limitMs: number, stalled: () => VramError) {
    this.#calls = calls;
    this.#limitMs = limitMs;
    this.#stalled = stalled;
  }

  /** Settles when the abandoned call does; null while none runs. Never rejects. */
  get running(): Promise<void> | null {
    return this.#running;
  }

  /** Errors: those of the call; `stalled` at the limit, and immediately while an abandoned call still runs. */
  async call<T>(act: () => T | PromiseLike<T>): Promise<T> {
    if (this.#running !== null) throw this.#stalled();
    const answer = started(act);
    const running = answer.then(
      () => undefined,
      () => undefined,
    );
    const stalled = (): VramError => {
      this.#running = running.then(() => {
        this.#running = null;
      });
      return this.#stalled();
    };
    return await this.#calls.run(() => answer, { limitMs: this.#limitMs, stalled });
  }
}

/** A call that throws before it returns a promise fails like any other. */
function started<T>(call: () => T | PromiseLike<T>): Promise<T> {
  return new Promise((resolve) => resolve(call()));
}
