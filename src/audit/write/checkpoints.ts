import type { CryptoProvider, Signer } from '../../crypto/index.js';
import { type SignedCheckpoint, signCheckpoint } from '../format/index.js';
import type { Chain } from './chain.js';
import type { CheckpointDelivery } from './delivery.js';
import type { Sinks } from './sinks.js';
import type { Tickets } from './tickets.js';

/** The most records between two checkpoints. */
export const CHECKPOINT_RECORDS = 256;
/** How long written records may lack a checkpoint while the log is idle, ms. */
const CHECKPOINT_MS = 1_000;

export interface CheckpointParts {
  readonly crypto: CryptoProvider;
  readonly chain: Chain;
  readonly sinks: Sinks;
  readonly signer: Signer;
  readonly delivery: CheckpointDelivery | null;
  readonly tickets: Tickets;
  /** Records that the newest checkpoint covers. */
  readonly coveredSize: number;
}

/** Decides when a log needs a checkpoint, signs it and publishes it. */
export class Checkpoints {
  readonly #parts: CheckpointParts;
  #newest: SignedCheckpoint | null = null;
  #coveredSize: number;
  /** A checkpoint that covers this ticket is requested. */
  #requested = -1;
  #timer: ReturnType<typeof setTimeout> | null = null;

  constructor(parts: CheckpointParts) {
    this.#parts = parts;
    this.#coveredSize = parts.coveredSize;
  }

  /** Of this process; null before the first. */
  get newest(): SignedCheckpoint | null {
    return this.#newest;
  }

  /** Records in the chain that no checkpoint covers. */
  get uncovered(): number {
    return this.#parts.chain.size - this.#coveredSize;
  }

  get due(): boolean {
    if (this.uncovered >= CHECKPOINT_RECORDS) return true;
    const { tickets } = this.#parts;
    return tickets.reached('covered') < this.#requested && this.#requested <= tickets.reached('taken');
  }

  /** Requests one that covers everything enqueued so far. */
  request(): void {
    this.#requested = this.#parts.tickets.newest;
  }

  /** See Tickets.issueFirst(). */
  moveRequest(): void {
    if (this.#requested >= 0) this.#requested += 1;
  }

  /** After an idle second, requests a checkpoint for records without one and calls `wake`. */
  schedule(wake: () => void): void {
    if (this.uncovered === 0) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.request();
      wake();
    }, CHECKPOINT_MS);
  }

  stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** Signs the current head and passes it to every sink. The records that it covers must be on stable storage. */
  async publish(): Promise<void> {
    const { crypto, chain, sinks, signer, delivery, tickets } = this.#parts;
    const { origin, size } = chain;
    const taken = tickets.reached('taken');
    const root = await chain.root();
    const checkpoint = await signCheckpoint(crypto, { origin, size, root }, signer);
    await sinks.checkpoint(checkpoint);
    this.#newest = checkpoint;
    this.#coveredSize = size;
    tickets.advance('covered', taken);
    delivery?.deliver(checkpoint);
  }
}
