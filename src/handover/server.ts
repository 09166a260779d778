import { readFileSync } from 'node:fs';
import { checkInteger, checkOptions, invalidInput, type OptionKeys, Serial, timerOf } from '../base/index.js';
import { type Lender, lenderOf, type VramManager } from '../manager/index.js';
import type { SealedShard } from '../seal/index.js';
import { type AccessRule, refusal } from './access.js';
import { LeaseBudgets } from './budget.js';
import { checkLimits, LIMIT_KEYS, type ShareLimitOptions, type ShareLimits } from './limits.js';
import { Offers } from './offers.js';
import { MAX_LINE_BYTES, type ShareConnection, type ShareListener, type ShareTransport } from './port.js';
import { type LeaseView, ShareSession } from './session.js';
import type { SessionHost } from './session-host.js';

/** The largest valid user or group id: (uid_t)-1 and (gid_t)-1 are reserved. */
const MAX_ID = 2 ** 32 - 2;
/** An upper bound; the address of a Unix socket holds even fewer. */
const MAX_SOCKET_CHARACTERS = 107;

export interface ShareServerOptions extends ShareLimitOptions {
  /** Absolute path of the socket. Its directory must not be writable by others. */
  readonly socket: string;
  /** A group id whose members may connect too: the socket's mode is then 0660, else 0600. */
  readonly group?: number | undefined;
  /** A user id whose directories are trusted beside this process's and root's: the owner of a volume, say. */
  readonly trustOwner?: number | undefined;
  /** The models that clients can request, by name. */
  readonly models?: Readonly<Record<string, SealedShard | readonly SealedShard[]>> | undefined;
}

const OPTION_KEYS = {
  ...LIMIT_KEYS,
  socket: true,
  group: true,
  trustOwner: true,
  models: true,
} satisfies OptionKeys<ShareServerOptions>;

/** Lends a manager's shards to other processes. See docs/sharing.md. */
export class ShareServer {
  readonly #offers: Offers;
  readonly #sessions = new Set<ShareSession>();
  readonly #limits: ShareLimits;
  readonly #lender: Lender;
  #listener: ShareListener | null = null;
  #closing: Promise<void> | null = null;

  private constructor(lender: Lender, limits: ShareLimits, offers: Offers) {
    this.#lender = lender;
    this.#limits = limits;
    this.#offers = offers;
  }

  /** openShareServer() over a given transport. */
  static async open(
    manager: VramManager,
    options: ShareServerOptions,
    transport: ShareTransport,
  ): Promise<ShareServer> {
    checkOptions('options', options, OPTION_KEYS);
    const { socket, group, trustOwner } = options;
    if (typeof socket !== 'string' || !socket.startsWith('/') || socket.length > MAX_SOCKET_CHARACTERS) {
      throw invalidInput('socket', `must be an absolute path of at most ${MAX_SOCKET_CHARACTERS} characters`);
    }
    if (group !== undefined) checkInteger('group', group, 0, MAX_ID);
    if (trustOwner !== undefined) checkInteger('trustOwner', trustOwner, 0, MAX_ID);
    const offers = new Offers();
    for (const [name, shards] of Object.entries(options.models ?? {})) offers.set(name, shards);
    const lender = lenderOf(manager);
    const server = new ShareServer(lender, checkLimits(options), offers);
    const host = server.#host(transport);
    const rule: AccessRule = { uid: ownUid(), group: group ?? null, overflowUid: overflowUid() };
    server.#listener = await transport.listen({
      path: socket,
      mode: group === undefined ? 0o600 : 0o660,
      group,
      trustOwner,
      maxLineBytes: MAX_LINE_BYTES,
      onConnection: (connection) => server.#accept(connection, host, rule),
    });
    return server;
  }

  /**
   * Offers shards under a name; a client gets all of them in one lease. Shards under a name in use replace the previous
   * ones, whose leases continue until those shards are released (`replaced`). Errors: INVALID_INPUT.
   */
  offer(name: string, shards: SealedShard | readonly SealedShard[]): void {
    this.#offers.set(name, shards);
  }

  /** Stops offering the name; its leases continue. False for an unknown name. */
  withdraw(name: string): boolean {
    return this.#offers.delete(name);
  }

  /** Names that are offered. */
  get models(): readonly string[] {
    return this.#offers.names();
  }

  /** Leases of connected clients. */
  leases(): readonly LeaseView[] {
    return [...this.#sessions].flatMap(({ lease }) => (lease === null ? [] : [lease]));
  }

  /**
   * Accepts no new clients, revokes the other leases (`stopped`), and waits until their memory is released, for
   * `releaseLimitMs` at most. Memory that is still mapped then stays guarded: a release of its shard reports it. Safe to
   * call twice.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    await this.#listener?.close();
    const left = Promise.all([...this.#sessions].map((session) => session.stop()));
    let callOff: () => void = () => undefined;
    const limit = new Promise<void>((resolve) => {
      callOff = timerOf(this.#lender.clock)(this.#limits.releaseLimitMs, resolve);
    });
    await Promise.race([left, limit]);
    callOff();
  }

  #accept(connection: ShareConnection, host: SessionHost, rule: AccessRule): void {
    const session = new ShareSession(host, connection, (ended) => void this.#sessions.delete(ended));
    this.#sessions.add(session);
    const refused = refusal(connection.peer, rule);
    if (refused !== null) session.refuse('FORBIDDEN', refused);
    else if (this.#closing !== null) session.refuse('BUSY', 'the server is closing');
    else if (this.#sessions.size > this.#limits.maxConnections) {
      session.refuse('BUSY', `there are ${this.#limits.maxConnections} clients already`);
    }
  }

  #host(transport: ShareTransport): SessionHost {
    const lending = new Serial();
    const budgets = new LeaseBudgets(this.#lender.clock);
    return {
      clock: this.#lender.clock,
      limits: this.#limits,
      workerId: this.#lender.workerId,
      instance: this.#lender.randomId(),
      device: this.#lender.device,
      offers: this.#offers,
      mayLend: (uid) => budgets.take(uid),
      lend: (request) => lending.run(() => this.#lender.lend(request)),
      prepare: (memory, manifest) => transport.prepare(memory, manifest),
    };
  }
}

function ownUid(): number {
  if (process.geteuid === undefined) throw invalidInput('socket', 'needs a system with user ids: Linux');
  return process.geteuid();
}

/** undefined on systems without user ids. */
function overflowUid(): number | undefined {
  try {
    const uid = Number(readFileSync('/proc/sys/kernel/overflowuid', 'utf8').trim());
    return Number.isSafeInteger(uid) ? uid : undefined;
  } catch {
    return undefined;
  }
}
