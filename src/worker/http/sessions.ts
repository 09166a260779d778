import { createHash, randomBytes } from 'node:crypto';

const SESSION_BYTES = 32;
/** From the login on, whether it is used or not. */
export const SESSION_MS = 12 * 3_600_000;
/** The oldest is evicted: anyone who can log in could otherwise fill the memory. */
const MOST_SESSIONS = 256;

interface Session {
  readonly tokenDigest: Buffer;
  readonly endsAt: number;
}

/**
 * Logins of pages. A page swaps its token once for a random name, which the browser keeps in a cookie that no script reads.
 * Kept is the token's digest: a token that is withdrawn ends its sessions.
 */
export class Sessions {
  readonly #now: () => number;
  /** By the SHA-256 of its name: how long a look-up takes says nothing about the name. */
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
