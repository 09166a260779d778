import { createHash, timingSafeEqual } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { invalidInput } from '../../base/index.js';
import { readInput } from '../../node/index.js';

/** What a caller may do; each role may also do what those before it may. */
export type Role = 'read' | 'execute' | 'admin';
export const ROLES: readonly Role[] = ['read', 'execute', 'admin'];

/** During a rotation the old and the new token are both valid. */
const MOST_TOKENS = 2;
const LEAST_TOKEN_CHARACTERS = 32;
const MAX_TOKEN_FILE_BYTES = 4_096;
/** Interval between checks whether a file has changed. */
const RECHECK_MS = 1_000;
const FINGERPRINT_DIGITS = 6;

interface Loaded {
  readonly mark: string;
  /** SHA-256 of each token: equal lengths make comparison take constant time. */
  readonly digests: readonly Buffer[];
}

/** The caller of a request. */
export interface Caller {
  readonly role: Role;
  /** Identifies the token in logs; null where only the socket's file rights decide. */
  readonly fingerprint: string | null;
}

/** The bearer tokens of one role, in a file with one or two lines, read again when it changes. */
class TokenFile {
  readonly role: Role;
  readonly #path: string;
  readonly #trustOwner: number | undefined;
  #loaded: Loaded | null = null;
  #checkedAt = Number.NEGATIVE_INFINITY;

  constructor(role: Role, path: string, trustOwner: number | undefined) {
    this.role = role;
    this.#path = path;
    this.#trustOwner = trustOwner;
  }

  /** Errors: INVALID_INPUT. */
  async load(): Promise<Loaded> {
    const { mtimeNs, ctimeNs, ino, size } = await stat(this.#path, { bigint: true }).catch(
      (cause: unknown) => {
        throw invalidInput(`tokens.${this.role}`, `cannot be read: ${JSON.stringify(this.#path)}`, cause);
      },
    );
    const mark = `${mtimeNs} ${ctimeNs} ${ino} ${size}`;
    if (this.#loaded?.mark !== mark) {
      this.#loaded = { mark, digests: await readTokens(this.role, this.#path, this.#trustOwner) };
    }
    return this.#loaded;
  }

  /** The digests in force. A file that has become unreadable or invalid admits no caller. */
  async digests(nowMs: number): Promise<readonly Buffer[]> {
    if (this.#loaded !== null && nowMs - this.#checkedAt < RECHECK_MS) return this.#loaded.digests;
    this.#checkedAt = nowMs;
    try {
      return (await this.load()).digests;
    } catch {
      this.#loaded = { mark: '', digests: [] };
      return [];
    }
  }
}

/** Decides by its bearer token what a caller may do. */
export class Tokens {
  readonly #files: readonly TokenFile[];
  readonly #now: () => number;

  private constructor(files: readonly TokenFile[], now: () => number) {
    this.#files = files;
    this.#now = now;
  }

  /** Errors: INVALID_INPUT for a file that is missing, open to others, or holds no valid token. */
  static async open(
    paths: Readonly<Partial<Record<Role, string | undefined>>>,
    now: () => number,
    trustOwner?: number | undefined,
  ): Promise<Tokens> {
    const files = ROLES.flatMap((role) => {
      const path = paths[role];
      return path === undefined ? [] : [new TokenFile(role, path, trustOwner)];
    });
    for (const file of files) await file.load();
    return new Tokens(files, now);
  }

  /** No token is configured: anyone who can open the socket may do everything. */
  get isEmpty(): boolean {
    return this.#files.length === 0;
  }

  /** null for an unknown token. Every token is compared, also after a match. */
  async callerOf(token: string): Promise<Caller | null> {
    return await this.callerOfDigest(digestOf(token));
  }

  /** The digest of this token for `callerOfDigest`. */
  digestOf(token: string): Buffer {
    return digestOf(token);
  }

  /** As `callerOf`, for callers that stored the digest instead of the token. */
  async callerOfDigest(digest: Buffer): Promise<Caller | null> {
    let caller: Caller | null = null;
    for (const file of this.#files) {
      for (const known of await file.digests(this.#now())) {
        if (timingSafeEqual(known, digest)) {
          caller = { role: file.role, fingerprint: digest.toString('hex').slice(0, FINGERPRINT_DIGITS) };
        }
      }
    }
    return caller;
  }
}

function digestOf(token: string): Buffer {
  return createHash('sha256').update(token, 'utf8').digest();
}

async function readTokens(role: Role, path: string, trustOwner: number | undefined): Promise<Buffer[]> {
  const bytes = await readInput(`tokens.${role}`, path, {
    maxBytes: MAX_TOKEN_FILE_BYTES,
    secret: true,
    trustOwner,
  });
  try {
    const lines = new TextDecoder()
      .decode(bytes)
      .split('\n')
      .filter((line) => line.trim() !== '');
    const good = lines.every((line) => line.length >= LEAST_TOKEN_CHARACTERS && /^[\x21-\x7e]+$/.test(line));
    if (lines.length === 0 || lines.length > MOST_TOKENS || !good) {
      throw invalidInput(
        `tokens.${role}`,
        `must hold one or two lines, each a token of at least ${LEAST_TOKEN_CHARACTERS} printable characters`,
      );
    }
    return lines.map(digestOf);
  } finally {
    bytes.fill(0);
  }
}
