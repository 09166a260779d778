import type { Clock } from '../../base/index.js';
import { ServiceError } from '../common/index.js';
import { Sessions } from './sessions.js';
import { type Caller, ROLES, type Role, type Tokens } from './tokens.js';

/** Wrong tokens per second that are answered as such; further ones get QUEUE_FULL. */
const MOST_FAILURES = 20;
const WINDOW_MS = 1_000;

export interface AdmissionSettings {
  readonly tokens: Tokens;
  /** Accepted values of Host; null on a Unix socket, where Host carries no information. */
  readonly hosts: ReadonlySet<string> | null;
  readonly clock: Clock;
}

/** The parts of a request that identify its sender. */
export interface Credentialed {
  readonly method: string;
  header(name: string): string | undefined;
}

const BEARER = /^Bearer ([\x21-\x7e]{1,4096})$/i;
/** Marks a session from a cookie inside this module: it is not a scheme of Authorization. */
const SESSION = /^vram_session=([A-Za-z0-9_-]{1,64})$/;

/** Decides whether a request is admitted, before its body is read. */
export class Admission {
  readonly #settings: AdmissionSettings;
  readonly #sessions: Sessions;
  #failures = 0;
  #windowFrom = Number.NEGATIVE_INFINITY;

  constructor(settings: AdmissionSettings) {
    this.#settings = settings;
    this.#sessions = new Sessions(() => settings.clock.monotonic());
  }

  /**
   * Refuses pages that reach the worker by another name (DNS rebinding) or that another site serves. Errors: INVALID_INPUT,
   * AUTH_FAILED.
   */
  checkOrigin(header: (name: string) => string | null): void {
    const { hosts } = this.#settings;
    const host = header('host');
    if (hosts !== null && (host === null || !hosts.has(host.toLowerCase()))) {
      throw new ServiceError('INVALID_INPUT', '"Host" is not a name of this worker', { status: 421 });
    }
    const origin = header('origin');
    if (origin === null) return;
    const from = URL.canParse(origin) ? new URL(origin).host : null;
    if (from === null || from !== host?.toLowerCase()) {
      throw new ServiceError('AUTH_FAILED', '"Origin" is another site', { status: 403 });
    }
  }

  /**
   * What `admit` takes: the bearer token or, without one, the cookie of a session. Browsers attach cookies to any
   * request, so a cookie authorises changes only from a page of this worker. Errors: AUTH_FAILED.
   */
  credential(request: Credentialed): string | null {
    const authorization = request.header('authorization');
    if (authorization !== undefined) return BEARER.test(authorization) ? authorization : null;
    const cookie = sessionCookie(request);
    if (cookie !== null && request.method !== 'GET') this.requireOrigin(request);
    return cookie;
  }

  /** Requires an Origin, whose value was checked before. Errors: AUTH_FAILED. */
  requireOrigin(request: Credentialed): void {
    if (request.header('origin') !== undefined) return;
    throw new ServiceError('AUTH_FAILED', '"Origin" is required with a session cookie', { status: 403 });
  }

  /** Swaps a token for a session's name. Errors: AUTH_FAILED, QUEUE_FULL after too many wrong tokens. */
  async beginSession(token: string): Promise<string> {
    const { tokens, clock } = this.#settings;
    const caller = await tokens.callerOf(token);
    if (caller === null) throw this.#refusal(clock.monotonic());
    return this.#sessions.begin(tokens.digestOf(token));
  }

  endSession(request: Credentialed): void {
    const [, name] = SESSION.exec(sessionCookie(request) ?? '') ?? [];
    if (name !== undefined) this.#sessions.end(name);
  }

  /** Errors: AUTH_FAILED, QUEUE_FULL after too many wrong tokens. */
  async admit(role: Role, authorization: string | null): Promise<Caller> {
    const { tokens, clock } = this.#settings;
    if (tokens.isEmpty) return { role: 'admin', fingerprint: null };
    // Valid tokens are looked up first: a flood of wrong ones must not lock out their callers.
    const caller = await this.#callerOf(authorization);
    if (caller === null) throw this.#refusal(clock.monotonic());
    if (ROLES.indexOf(caller.role) < ROLES.indexOf(role)) {
      throw new ServiceError('AUTH_FAILED', `this needs the role ${role}; the token has ${caller.role}`, {
        status: 403,
      });
    }
    return caller;
  }

  /**
   * Whether an admitted caller still would be: its token may have been withdrawn meanwhile. Not counted as an attempt.
   */
  async isStillAdmitted(role: Role, authorization: string | null): Promise<boolean> {
    const { tokens } = this.#settings;
    if (tokens.isEmpty) return true;
    const caller = await this.#callerOf(authorization);
    return caller !== null && ROLES.indexOf(caller.role) >= ROLES.indexOf(role);
  }

  async #callerOf(authorization: string | null): Promise<Caller | null> {
    const { tokens } = this.#settings;
    const [, token] = BEARER.exec(authorization ?? '') ?? [];
    if (token !== undefined) return await tokens.callerOf(token);
    const [, session] = SESSION.exec(authorization ?? '') ?? [];
    const digest = session === undefined ? null : this.#sessions.tokenDigestOf(session);
    return digest === null ? null : await tokens.callerOfDigest(digest);
  }

  #refusal(nowMs: number): ServiceError {
    if (nowMs - this.#windowFrom >= WINDOW_MS) {
      this.#windowFrom = nowMs;
      this.#failures = 0;
    }
    this.#failures += 1;
    return this.#failures > MOST_FAILURES
      ? new ServiceError('QUEUE_FULL', 'too many wrong tokens; wait', { retryAfterMs: WINDOW_MS })
      : new ServiceError('AUTH_FAILED', '"Authorization" must be a bearer token of this worker');
  }
}

function sessionCookie(request: Credentialed): string | null {
  const cookies = (request.header('cookie') ?? '').split(';').map((one) => one.trim());
  return cookies.find((one) => SESSION.test(one)) ?? null;
}
