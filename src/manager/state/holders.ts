import type { RevokeReason } from '../../events/index.js';

/** A process that kept memory mapped after it should have released it. */
export interface Survivor {
  /** null where the process lives in another PID namespace. */
  readonly pid: number | null;
  /** Resolves once it no longer maps the memory: it unmapped it or exited. */
  readonly gone: Promise<void>;
}

/** Another process that maps a shard's memory. None of these throws or rejects. */
export interface Holder {
  /**
   * Called before blocks are patched. Resolves once the process has stopped reading, or, if it did not answer in time,
   * once its lease is revoked.
   */
  pause(): Promise<void>;
  /** Ends a pause: the bytes are as sealed again. */
  resume(): void;
  /** Orders the process to release the memory; later reasons change nothing. */
  revoke(reason: RevokeReason): void;
  /**
   * After revoke(): waits until the process no longer maps the memory, within a limit of its own. Resolves to it if it
   * still does.
   */
  leave(): Promise<Survivor | null>;
}

/** The processes that map one shard's memory. */
export class Holders {
  readonly #holders = new Set<Holder>();
  /** Those that a healing under way has paused. */
  #paused: readonly Holder[] = [];

  get size(): number {
    return this.#holders.size;
  }

  add(holder: Holder): void {
    this.#holders.add(holder);
  }

  delete(holder: Holder): void {
    this.#holders.delete(holder);
  }

  /** Once this resolves no process that follows the protocol reads. A second call before resume() does nothing. */
  async pause(): Promise<void> {
    if (this.#paused.length > 0) return;
    this.#paused = [...this.#holders];
    await Promise.all(this.#paused.map((holder) => holder.pause()));
  }

  /** Ends the pause, if there is one. */
  resume(): void {
    for (const holder of this.#paused) holder.resume();
    this.#paused = [];
  }

  /** Damage was found. Processes paused for its healing stay paused until that ends. */
  damaged(): void {
    for (const holder of this.#holders) if (!this.#paused.includes(holder)) holder.revoke('damaged');
  }

  revoke(reason: RevokeReason): void {
    for (const holder of this.#holders) holder.revoke(reason);
  }

  /** Waits for all of them. Resolves to those that still map the memory. */
  async leave(): Promise<readonly Survivor[]> {
    const answers = await Promise.all([...this.#holders].map((holder) => holder.leave()));
    return answers.filter((survivor) => survivor !== null);
  }
}
