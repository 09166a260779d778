import { type Clock, timerOf } from '../base/index.js';
import type { RevokeReason } from '../events/index.js';
import type { Holder, Loan, Survivor } from '../manager/index.js';
import type { ShareLimits } from './limits.js';
import { ProtocolError } from './messages.js';
import type { Outbox } from './outbox.js';
import type { Peer } from './port.js';

/** How a lease ended: see the event `lease.ended`. */
export type LeaseEnd = Parameters<Loan['end']>[0];

/**
 * handing: shards are transferred one after another. lent and paused alternate. revoked: the client must release the memory.
 * ended: it no longer counts as mapping the memory.
 */
export type LeaseState = 'handing' | 'lent' | 'paused' | 'revoked' | 'ended';

export interface LeaseSettings {
  readonly clock: Clock;
  readonly limits: ShareLimits;
  readonly outbox: Outbox;
  readonly peer: Peer;
  /** Resolves when the client's process has ended. */
  readonly processExited: () => Promise<void>;
  /** Whether a newer generation of the model has replaced this one. */
  readonly replaced: () => boolean;
}

/** One client's lease. It is registered as a holder of each of its shards. */
export class ShareLease implements Holder {
  readonly #settings: LeaseSettings;
  #state: LeaseState = 'handing';
  #loan: Loan | null = null;
  /** Whether the client may map anything. */
  #handedOver = false;
  /** Number of the latest pause, which the client's answer repeats. */
  #n = 0;
  /** Healings in progress, during which the client must not compute. */
  #pauses = 0;
  #answer: Waiter | null = null;
  #revokedMs: number | null = null;
  #reason: RevokeReason = 'stopped';
  readonly #ended = waiter();
  /** The connection ended while the client may map the memory. It counts as mapping it until its process has ended. */
  #cut = false;
  readonly #lentWhenFree: (() => void)[] = [];

  constructor(settings: LeaseSettings) {
    this.#settings = settings;
  }

  get state(): LeaseState {
    return this.#state;
  }

  get loan(): Loan | null {
    return this.#loan;
  }

  /** Whether the client has received memory. */
  get mapped(): boolean {
    return this.#handedOver;
  }

  /** Resolves when the client no longer counts as one that maps the memory. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /** The manager has registered the shards. */
  begin(loan: Loan): void {
    this.#loan = loan;
    if (this.#state === 'revoked') this.#sendRevoked(loan);
  }

  /** From now on the client may map memory. */
  handOver(): void {
    this.#handedOver = true;
  }

  /** All shards were received. The lease is `lent` now or, during a healing, when that has ended. */
  lend(announce: () => void): void {
    const begin = (): void => {
      if (this.#state !== 'handing') return;
      this.#state = 'lent';
      announce();
    };
    if (this.#pauses === 0) begin();
    else this.#lentWhenFree.push(begin);
  }

  async pause(): Promise<void> {
    if (this.#state === 'ended' || this.#state === 'revoked') return;
    this.#pauses += 1;
    // No client computes before `lent`, which waits for the end of the pause.
    if (this.#state === 'handing') return;
    if (this.#answer === null) this.#askToPause();
    await this.#answer?.promise;
  }

  resume(): void {
    if (this.#pauses === 0) return;
    this.#pauses -= 1;
    if (this.#pauses > 0) return;
    for (const begin of this.#lentWhenFree.splice(0)) begin();
    if (this.#state !== 'paused') return;
    this.#answer = null;
    this.#state = 'lent';
    this.#settings.outbox.must({ type: 'resume', n: this.#n });
  }

  /** The client reports that it has stopped. An answer to an earlier pause is ignored. Errors: ProtocolError. */
  paused(n: number): void {
    if (n > this.#n) throw new ProtocolError('"n" does not match a pause of this lease');
    if (n === this.#n) this.#answer?.resolve();
  }

  revoke(reason: RevokeReason): void {
    if (this.#state === 'ended' || this.#state === 'revoked') return;
    this.#state = 'revoked';
    this.#reason = reason === 'released' && this.#settings.replaced() ? 'replaced' : reason;
    this.#revokedMs = this.#settings.clock.monotonic();
    this.#lentWhenFree.length = 0;
    this.#answer?.resolve();
    if (this.#loan !== null) this.#sendRevoked(this.#loan);
  }

  async leave(): Promise<Survivor | null> {
    if (!this.#handedOver || this.#state === 'ended') return null;
    const { clock, limits, peer } = this.#settings;
    const sinceMs = clock.monotonic() - (this.#revokedMs ?? clock.monotonic());
    const limit = waiter();
    const leftMs = limits.releaseLimitMs - sinceMs;
    if (leftMs <= 0) limit.resolve();
    const callOff = timerOf(clock)(Math.max(0, leftMs), limit.resolve);
    const gone = Promise.race([this.ended, this.#settings.processExited()]);
    const left = await Promise.race([gone.then(() => true), limit.promise.then(() => false)]);
    callOff();
    return left ? null : { pid: peer.pid, gone };
  }

  /** The client sent `end`, or its connection is closed. */
  end(how: LeaseEnd): void {
    if (this.#state === 'ended' || this.#cut) return;
    // A lost connection does not release the memory: the process may map it as long as it runs.
    if (how === 'cut' && this.#handedOver && this.#settings.peer.pid !== null) {
      this.#cut = true;
      this.#answer?.resolve();
      if (this.#state !== 'revoked') this.#revokedMs = this.#settings.clock.monotonic();
      this.#state = 'revoked';
      const gone = this.#settings.processExited();
      void this.#loan?.end('cut', gone);
      void gone.then(() => this.#finish('cut'));
      return;
    }
    this.#finish(how);
  }

  #sendRevoked(loan: Loan): void {
    this.#settings.outbox.last({ type: 'revoked', reason: this.#reason });
    void loan.revoked(this.#reason);
  }

  #askToPause(): void {
    const { clock, limits, outbox } = this.#settings;
    const answer = waiter();
    this.#answer = answer;
    this.#n += 1;
    this.#state = 'paused';
    outbox.must({ type: 'pause', n: this.#n });
    const callOff = timerOf(clock)(limits.pauseLimitMs, () => this.revoke('damaged'));
    void answer.promise.then(callOff);
  }

  #finish(how: LeaseEnd): void {
    this.#state = 'ended';
    this.#answer?.resolve();
    this.#ended.resolve();
    void this.#loan?.end(how);
  }
}

interface Waiter {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
}

function waiter(): Waiter {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
