import { createHash, randomBytes } from 'node:crypto';

const SESSION_BYTES = 32;
/** Lifetime from the login on, whether used or not. */
export const SESSION_MS = 12 * 3_600_000;
/** Beyond this the oldest is evicted: otherwise a caller who can log in could fill the memory. */
const MOST_SESSIONS = 256;

interface Session {
  readonly tokenDigest: Buffer;
  readonly endsAt: number;
}

/**
 * Logins of pages. A page exchanges its token once for a random name, which the browser keeps in a cookie that scripts
 * cannot read. The session stores the token's digest: withdrawing a token ends its sessions.
 */
export class Sessions {
  readonly #now: () => number;
  /** By the SHA-256 of the name, so that the time of a look-up reveals nothing about the name. */
  readonly #sessions = new Map<string, Session>();

  /** `now` counts milliseconds and never runs backwards. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** The new session's name. */
  begin(tokenDigest: Buffer): string {
    const [oldest] = this.#sessions.keys();
    if (this.#sessions.size >= MOST_SESSIONS && oldest !== undefined) this.#sessions.delete(oldest);
    const name = randomBytes(SESSION_BYTES).toString('base64url');
    this.#sessions.set(keyOf(name), { tokenDigest, endsAt: this.#now() + SESSION_MS });
    return name;
  }

  /** The digest of the token that began it; null once it has ended. */
  tokenDigestOf(name: string): Buffer | null {
    const key = keyOf(name);
    const session = this.#sessions.get(key);
    if (session === undefined) return null;
    if (this.#now() < session.endsAt) return session.tokenDigest;
    this.#sessions.delete(key);
    return null;
  }

  end(name: string): void {
    this.#sessions.delete(keyOf(name));
  }
}

function keyOf(name: string): string {
  return createHash('sha256').update(name, 'utf8').digest('hex');
}
