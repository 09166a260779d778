import { Callee, type ForeignCalls, VramError } from '../../base/index.js';
import type { SignedCheckpoint } from '../format/index.js';

/** Delivers each new checkpoint to a place outside the log's directory. */
export type OnCheckpoint = (checkpoint: SignedCheckpoint) => void | Promise<void>;

/**
 * Passes each new checkpoint to the caller, one after the other, with a time limit. While an abandoned call still runs,
 * new checkpoints count as failed: a later one covers them.
 */
export class CheckpointDelivery {
  readonly #callee: Callee;
  readonly #onCheckpoint: OnCheckpoint;
  #last: Promise<void> = Promise.resolve();
  #failures = 0;
  #error: unknown = null;

  constructor(onCheckpoint: OnCheckpoint, calls: ForeignCalls, limitMs: number) {
    this.#onCheckpoint = onCheckpoint;
    const message = `"onCheckpoint" has not answered for ${limitMs} ms`;
    this.#callee = new Callee(calls, limitMs, () => new VramError('AUDIT_FAILED', message));
  }

  /** Failed deliveries. */
  get failures(): number {
    return this.#failures;
  }

  /** The latest failure; null while there is none. */
  get error(): unknown {
    return this.#error;
  }

  /** Does not wait. */
  deliver(checkpoint: SignedCheckpoint): void {
    this.#last = this.#last.then(async () => {
      try {
        await this.#callee.call(() => this.#onCheckpoint(checkpoint));
      } catch (error) {
        this.#failures += 1;
        this.#error = error;
      }
    });
  }

  /** Resolves when every delivery so far has succeeded or failed. */
  done(): Promise<void> {
    return this.#last;
  }
}
