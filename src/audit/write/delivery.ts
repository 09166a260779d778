import { Callee, type ForeignCalls, VramError } from '../../base/index.js';
import type { SignedCheckpoint } from '../format/index.js';

/** Takes each new checkpoint to a place that the log's directory is not. */
export type OnCheckpoint = (checkpoint: SignedCheckpoint) => void | Promise<void>;

/**
 * Hands each new checkpoint to the caller, one after the other, and waits no longer than a limit for each. While one that
 * was given up still runs, those that come meanwhile count as failed: a later one covers them.
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

  /** Checkpoints that were not taken. */
  get failures(): number {
    return this.#failures;
  }

  /** Why the last of these was not; null while all were. */
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

  /** Resolves when everything delivered so far was taken or given up. */
  done(): Promise<void> {
    return this.#last;
  }
}
