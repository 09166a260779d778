import { VramError } from '../errors.js';

export type LifecycleState = 'open' | 'stopped' | 'lost' | 'closed';

/** Whether the manager serves, and why it does not. States only ever move away from `open`; `closed` is the last. */
export class Lifecycle {
  #state: LifecycleState = 'open';
  #reason = '';
  readonly #ended = new AbortController();

  get state(): LifecycleState {
    return this.#state;
  }

  /** Fires when the manager leaves `open`: running seals and leases end. Its reason is the error that they are rejected with. */
  get signal(): AbortSignal {
    return this.#ended.signal;
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

  /** Whatever needs the device, also when stopped. Errors: DEVICE_LOST; STOPPED after close. */
  requireDevice(): void {
    if (this.#state === 'lost' || this.#state === 'closed') throw this.#refusal();
  }

  #leave(state: LifecycleState, reason: string): boolean {
    const order: readonly LifecycleState[] = ['open', 'stopped', 'lost', 'closed'];
    if (order.indexOf(state) <= order.indexOf(this.#state)) return false;
    this.#state = state;
    this.#reason = reason;
    this.#ended.abort(this.#refusal());
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
