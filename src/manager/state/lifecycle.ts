import { VramError } from '../../base/index.js';

/** `stopped` and `lost` take no new work; `closed` is final. */
export type LifecycleState = 'open' | 'stopped' | 'lost' | 'closed';

/** The manager's state and the reason for it. It only moves away from `open`; `closed` is final. */
export class Lifecycle {
  #state: LifecycleState = 'open';
  #reason = '';
  readonly #watchers = new Set<(end: VramError) => void>();
  readonly #deviceWatchers = new Set<(end: VramError) => void>();

  get state(): LifecycleState {
    return this.#state;
  }

  /** The rejection of running seals and leases since the manager left `open`; null before. */
  get end(): VramError | null {
    return this.#state === 'open' ? null : this.#refusal();
  }

  /**
   * Calls back once when the manager leaves `open`, immediately if it has. Returns a function that cancels the callback.
   * Not an AbortSignal, because hundreds of operations may listen.
   */
  onEnd(watcher: (end: VramError) => void): () => void {
    if (this.end !== null) watcher(this.end);
    else this.#watchers.add(watcher);
    return () => void this.#watchers.delete(watcher);
  }

  /** As onEnd, for work that a stopped manager still does: calls back when the device is lost or the manager closed. */
  onDeviceEnd(watcher: (end: VramError) => void): () => void {
    if (this.#state === 'lost' || this.#state === 'closed') watcher(this.#refusal());
    else this.#deviceWatchers.add(watcher);
    return () => void this.#deviceWatchers.delete(watcher);
  }

  /** True if this call stopped it. */
  stop(reason: string): boolean {
    return this.#leave('stopped', reason);
  }

  /** True if this call found it lost. */
  lose(reason: string): boolean {
    return this.#leave('lost', reason);
  }

  close(): void {
    this.#leave('closed', '');
  }

  /** Sealing and execution. Errors: STOPPED, DEVICE_LOST. */
  requireServing(): void {
    if (this.#state !== 'open') throw this.#refusal();
  }

  /** For work that needs the device, also when stopped. Errors: DEVICE_LOST; STOPPED after close. */
  requireDevice(): void {
    if (this.#state === 'lost' || this.#state === 'closed') throw this.#refusal();
  }

  #leave(state: LifecycleState, reason: string): boolean {
    const order: readonly LifecycleState[] = ['open', 'stopped', 'lost', 'closed'];
    if (order.indexOf(state) <= order.indexOf(this.#state)) return false;
    this.#state = state;
    this.#reason = reason;
    const told = state === 'stopped' ? [this.#watchers] : [this.#watchers, this.#deviceWatchers];
    for (const watchers of told) {
      for (const watcher of watchers) watcher(this.#refusal());
      watchers.clear();
    }
    return true;
  }

  #refusal(): VramError {
    if (this.#state === 'lost') return new VramError('DEVICE_LOST', `the device is lost: ${this.#reason}`);
    if (this.#state === 'closed') return new VramError('STOPPED', 'the manager is closed');
    return new VramError(
      'STOPPED',
      `the manager has stopped: ${this.#reason}; release its shards and open another`,
    );
  }
}
