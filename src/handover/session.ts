import { eventError } from '../events/index.js';
import type { LentShard, Loan } from '../manager/index.js';
import { Budget, LINES } from './budget.js';
import { Countdown } from './countdown.js';
import { type LeaseState, ShareLease } from './lease.js';
import {
  type ClientMessage,
  decodeMessage,
  encodeMessage,
  ProtocolError,
  type ServerMessage,
  SHARE_VERSION,
  type ShareCode,
} from './messages.js';
import { Outbox } from './outbox.js';
import type { CloseReason, ShareConnection } from './port.js';
import type { SessionHost } from './session-host.js';

/** greeting: before `hello`. ready: no lease yet. lending: shards are verified. leased: see LeaseState. */
type SessionState = 'greeting' | 'ready' | 'lending' | 'leased' | 'closed';

/** The public state of a lease. */
export interface LeaseView {
  readonly leaseId: string;
  readonly model: string;
  readonly client: string;
  /** null where the process lives in another PID namespace. */
  readonly pid: number | null;
  readonly uid: number;
  readonly state: LeaseState;
  /** Bytes of the shards that it holds. */
  readonly sealIds: readonly string[];
}

/** The server's side of one connection. Never throws: a fault of a client ends only its own connection. */
export class ShareSession {
  readonly #host: SessionHost;
  readonly #onEnd: (session: ShareSession) => void;
  readonly #connection: ShareConnection;
  readonly #outbox: Outbox;
  readonly #lines: Budget;
  /** Time limit of the client's next message. */
  readonly #patience: Countdown;
  readonly #verified: Countdown;
  readonly #gone = new AbortController();
  #state: SessionState = 'greeting';
  #client = '';
  #model = '';
  #lease: ShareLease | null = null;
  /** The shard whose `received` is awaited. */
  #awaited: { readonly shardId: string; readonly received: () => void } | null = null;

  /** `onEnd` is called once, when the connection is closed. */
  constructor(host: SessionHost, connection: ShareConnection, onEnd: (session: ShareSession) => void) {
    const { clock, limits } = host;
    this.#host = host;
    this.#onEnd = onEnd;
    this.#connection = connection;
    this.#outbox = new Outbox(connection, clock);
    this.#lines = new Budget(clock, LINES);
    this.#patience = new Countdown(clock);
    this.#verified = new Countdown(clock);
    connection.onLine((line) => this.#onLine(line));
    connection.onClosed((reason) => this.#onClosed(reason));
    this.#patience.start(limits.helloLimitMs, () => this.#cut('TIMEOUT', 'no hello arrived in time'));
  }

  /** null without a lease. */
  get lease(): LeaseView | null {
    const loan = this.#lease?.loan ?? null;
    if (this.#lease === null || loan === null) return null;
    const { pid, uid } = this.#connection.peer;
    const { state } = this.#lease;
    const sealIds = loan.shards.map(({ sealed }) => sealed.sealId);
    return { leaseId: loan.leaseId, model: this.#model, client: this.#client, pid, uid, state, sealIds };
  }

  /** The server closes. Resolves when the lease of this connection has ended. */
  async stop(): Promise<void> {
    const lease = this.#lease;
    if (lease === null) this.#cut('STOPPED', 'the server is closing');
    else lease.revoke('stopped');
    await lease?.ended;
  }

  /** Refuses a connection before it sends anything. */
  refuse(code: ShareCode, message: string): void {
    this.#cut(code, message);
  }

  #onLine(line: Uint8Array): void {
    if (this.#state === 'closed') return;
    try {
      if (!this.#lines.take()) throw new ProtocolError('too many messages in a short time');
      this.#handle(decodeMessage(line));
    } catch (error) {
      const said = error instanceof ProtocolError ? error.message : 'the message could not be handled';
      this.#cut('PROTOCOL', said);
    }
  }

  /** Errors: ProtocolError. */
  #handle(message: ClientMessage): void {
    switch (message.type) {
      case 'hello':
        this.#require(this.#state === 'greeting', 'hello');
        this.#greet(message);
        break;
      case 'lend':
        this.#require(this.#state === 'ready', 'lend');
        void this.#lend(message);
        break;
      case 'received':
        this.#received(message.shardId);
        break;
      case 'paused':
        this.#require(this.#lease !== null, 'paused');
        this.#lease?.paused(message.n);
        break;
      case 'end':
        this.#require(this.#state !== 'greeting', 'end');
        this.#finish('end');
        break;
    }
  }

  #require(condition: boolean, type: ClientMessage['type']): void {
    if (!condition) throw new ProtocolError(`"${type}" is not allowed now`);
  }

  #greet({ versions, client }: ClientMessage & { type: 'hello' }): void {
    if (!versions.includes(SHARE_VERSION)) {
      this.#cut('VERSION', `this worker supports version ${SHARE_VERSION} only`);
      return;
    }
    this.#client = client;
    const { workerId, instance, device } = this.#host;
    this.#say({
      type: 'welcome',
      version: SHARE_VERSION,
      workerId,
      instance,
      // For a MIG device the driver reports that device's own UUID.
      device: { uuid: device.uuid, migUuid: null, name: device.name },
      models: this.#host.offers.names(),
    });
    this.#becomeReady();
  }

  #becomeReady(): void {
    this.#state = 'ready';
    const { idleLimitMs } = this.#host.limits;
    this.#patience.start(idleLimitMs, () => this.#cut('TIMEOUT', 'no lend arrived in time'));
  }

  async #lend({ model, maxAgeMs }: ClientMessage & { type: 'lend' }): Promise<void> {
    const offer = this.#host.offers.get(model);
    if (offer === null) {
      this.#say({
        type: 'error',
        code: 'NOT_FOUND',
        message: 'no such model is offered: welcome lists the models',
      });
      this.#becomeReady();
      return;
    }
    if (!this.#host.mayLend(this.#connection.peer.uid)) {
      this.#say({
        type: 'error',
        code: 'BUSY',
        message: 'too many leases in a short time; retry in a second',
      });
      this.#becomeReady();
      return;
    }
    this.#patience.stop();
    this.#state = 'lending';
    this.#model = model;
    const lease = this.#newLease(() => this.#host.offers.isReplaced(model, offer));
    this.#lease = lease;
    try {
      const { pid, uid } = this.#connection.peer;
      const loan = await this.#host.lend({
        shards: offer.shards,
        holder: lease,
        pid,
        uid,
        client: this.#client,
        ...(maxAgeMs === null ? {} : { maxAgeMs }),
        signal: this.#gone.signal,
      });
      lease.begin(loan);
      if (this.#isClosed) lease.end('closed');
      else await this.#handOver(lease, loan);
    } catch (error) {
      this.#failed(lease, error);
    }
  }

  #newLease(replaced: () => boolean): ShareLease {
    const { clock, limits } = this.#host;
    const { peer } = this.#connection;
    const processExited = (): Promise<void> => this.#connection.processExited();
    return new ShareLease({ clock, limits, outbox: this.#outbox, peer, processExited, replaced });
  }

  /** Errors: those of the transport's prepare(). */
  async #handOver(lease: ShareLease, loan: Loan): Promise<void> {
    this.#state = 'leased';
    for (const shard of loan.shards) {
      const line = encodeMessage(shardMessage(shard));
      if (line === null) {
        throw new ProtocolError(
          `the seal of shard "${shard.sealed.shardId}" names too many files to fit into a line`,
        );
      }
      const handover = await this.#host.prepare(shard.memory, shard.manifest);
      // Closed or revoked meanwhile: the client gets no more.
      if (this.#isClosed || lease.state !== 'handing') {
        handover.discard();
        return;
      }
      lease.handOver();
      if (this.#connection.send(line, handover) === 'full') {
        handover.discard();
        this.#cut('TIMEOUT', 'the client does not read');
        return;
      }
      if (!(await this.#receipt(shard.sealed.shardId))) return;
    }
    lease.lend(() => {
      this.#outbox.must({ type: 'lent', leaseId: loan.leaseId });
      this.#sendVerified(lease, loan);
    });
  }

  /** Waits for `received`. False if the connection was closed or the lease revoked instead. */
  #receipt(shardId: string): Promise<boolean> {
    const { receiveLimitMs } = this.#host.limits;
    return new Promise((resolve) => {
      const done = (answer: boolean) => (): void => {
        this.#awaited = null;
        this.#patience.stop();
        resolve(answer);
      };
      this.#awaited = { shardId, received: done(true) };
      this.#patience.start(receiveLimitMs, () => this.#cut('TIMEOUT', 'no received arrived in time'));
      this.#gone.signal.addEventListener('abort', done(false), { once: true });
    });
  }

  #received(shardId: string): void {
    // The message may have crossed the revocation.
    const lease = this.#lease;
    if (lease?.state === 'revoked' && lease.loan?.shards.some(({ sealed }) => sealed.shardId === shardId))
      return;
    this.#require(this.#awaited !== null && this.#awaited.shardId === shardId, 'received');
    this.#awaited?.received();
  }

  /** Now and every few seconds, while the lease lasts. A shard whose latest inspection did not pass has no age. */
  #sendVerified(lease: ShareLease, loan: Loan): void {
    if (lease.state !== 'lent' && lease.state !== 'paused') return;
    if (lease.state === 'lent') {
      for (const { sealed, ageMs } of loan.shards) {
        const age = ageMs();
        if (age !== null)
          this.#outbox.may({ type: 'verified', shardId: sealed.shardId, ageMs: Math.ceil(age) });
      }
    }
    this.#verified.start(this.#host.limits.verifiedEveryMs, () => this.#sendVerified(lease, loan));
  }

  /** Handles a lease that failed before or during its handover. */
  #failed(lease: ShareLease, error: unknown): void {
    const { code, message } =
      error instanceof ProtocolError
        ? { code: 'INVALID_INPUT' as const, message: error.message }
        : eventError(error);
    if (this.#isClosed) {
      lease.end('closed');
      return;
    }
    // The client may still map memory that it received, so it gets no second lease on this connection.
    if (lease.mapped) {
      this.#cut(code, message);
      return;
    }
    lease.end('cut');
    this.#lease = null;
    this.#say({ type: 'error', code, message });
    this.#becomeReady();
  }

  #say(message: ServerMessage): void {
    this.#outbox.must(message);
  }

  get #isClosed(): boolean {
    return this.#state === 'closed';
  }

  /** Sends the reason, if the client reads it, and ends the connection. */
  #cut(code: (ServerMessage & { type: 'error' })['code'], message: string): void {
    this.#outbox.last({ type: 'error', code, message });
    this.#finish('cut');
  }

  #onClosed(reason: CloseReason): void {
    // Only the client can report that it is done: a failed socket does not show what it still maps.
    this.#finish(reason === 'peer' ? 'closed' : 'cut');
  }

  #finish(how: 'end' | 'closed' | 'cut'): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#patience.stop();
    this.#verified.stop();
    this.#outbox.close();
    this.#connection.close();
    this.#gone.abort();
    // A lease under verification ends when that returns.
    if (this.#lease?.loan !== null) this.#lease?.end(how);
    this.#onEnd(this);
  }
}

function shardMessage({ sealed, memory, verifiedAt }: LentShard): ServerMessage {
  return {
    type: 'shard',
    shardId: sealed.shardId,
    seal: sealed.toJSON(),
    byteLength: sealed.byteLength,
    mappedBytes: memory.mappedBytes,
    verifiedAt,
  };
}
