/**
 * Takes secrets out of text that callers may have filled with anything. Every step is linear in the text's length: the patterns
 * have no nested or adjacent repetitions that could match the same characters in two ways.
 */
const REMOVED = '[redacted]';

interface Rule {
  readonly pattern: RegExp;
  readonly replacement: string;
}

// What stands before the word does not matter (`accessToken`, `HF_TOKEN`): only the value is taken out.
const SECRET_NAME =
  'token|secret|passwd|password|passphrase|credentials?|authorization|api[_-]?key|access[_-]?key|private[_-]?key|signing[_-]?key|session[_-]?key|cookie';

const RULES: readonly Rule[] = [
  // PEM blocks, also cut-off ones.
  {
    pattern: /-----BEGIN [A-Z ]{1,40}-----[A-Za-z0-9+/=\s]*(?:-----END [A-Z ]{1,40}-----)?/g,
    replacement: REMOVED,
  },
  // RFC 6750 and RFC 7617 credentials.
  { pattern: /\b(bearer|basic|digest)[ \t]+[A-Za-z0-9._~+/=-]{6,}/gi, replacement: `$1 ${REMOVED}` },
  // key=value, key: value, "key":"value".
  {
    pattern: new RegExp(
      `(${SECRET_NAME})("?[ \\t]{0,8}[=:][ \\t]{0,8})(?:"[^"]*"|'[^']*'|[^\\s,;&"')\\]}]+)`,
      'gi',
    ),
    replacement: `$1$2${REMOVED}`,
  },
  // Credentials inside URLs.
  { pattern: /:\/\/[^\s/@:]{0,256}:[^\s/@]{1,256}@/g, replacement: `://${REMOVED}@` },
  // Well-known key shapes and JSON web tokens.
  {
    pattern: /\b(?:hf_|sk-|ghp_|gho_|ghs_|glpat-|xox[abp]-|npm_|AKIA)[A-Za-z0-9_-]{12,}/g,
    replacement: REMOVED,
  },
  { pattern: /\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+){1,4}/g, replacement: REMOVED },
  // Addresses.
  { pattern: /\b0x[0-9a-f]{6,}\b/gi, replacement: REMOVED },
];

export interface Redactor {
  redact(text: string): string;
}

/** A redactor for the patterns above and, where one is given, for the worker's own token in any of its written forms. */
export function createRedactor(token?: Uint8Array): Redactor {
  const known = token === undefined ? [] : writtenForms(token).map((form) => new Fingerprint(form));
  return {
    redact(text: string): string {
      let clean = text;
      for (const fingerprint of known) clean = fingerprint.remove(clean);
      for (const { pattern, replacement } of RULES) clean = clean.replace(pattern, replacement);
      return clean;
    },
  };
}

/** As text, hexadecimal, base64 and base64url. */
function writtenForms(token: Uint8Array): string[] {
  const binary = Array.from(token, (byte) => String.fromCharCode(byte)).join('');
  const hex = Array.from(token, (byte) => byte.toString(16).padStart(2, '0')).join('');
  const base64 = btoa(binary);
  const base64url = base64.replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
  const text = new TextDecoder().decode(token);
  return [...new Set([text, hex, hex.toUpperCase(), base64, base64.replace(/=+$/, ''), base64url])];
}

/**
 * Finds one string without keeping it: a Rabin-Karp rolling hash under two random bases, 52 bits in all, slides over the text.
 * The token itself stays nowhere in memory; a false match would only hide harmless text.
 */
class Fingerprint {
  readonly #length: number;
  readonly #hashes: readonly RollingHash[];

  constructor(secret: string) {
    this.#length = secret.length;
    this.#hashes = [67_108_859, 67_108_837].map((prime) => new RollingHash(prime, secret));
  }

  remove(text: string): string {
    if (text.length < this.#length) return text;
    for (const hash of this.#hashes) hash.reset();
    const parts: string[] = [];
    let kept = 0;
    for (let end = 1; end <= text.length; end += 1) {
      const incoming = text.charCodeAt(end - 1);
      const outgoing = end > this.#length ? text.charCodeAt(end - 1 - this.#length) : 0;
      for (const hash of this.#hashes) hash.slide(incoming, outgoing);
      const start = end - this.#length;
      if (start >= kept && this.#hashes.every((hash) => hash.matches())) {
        parts.push(text.slice(kept, start), REMOVED);
        kept = end;
      }
    }
    return kept === 0 ? text : parts.join('') + text.slice(kept);
  }
}

/** Polynomial hash modulo a prime under 2^26, so that every product is exact in a double. */
class RollingHash {
  readonly #prime: number;
  readonly #base: number;
  /** base^length: what the outgoing character has been multiplied by. */
  readonly #top: number;
  readonly #wanted: number;
  #value = 0;

  constructor(prime: number, secret: string) {
    this.#prime = prime;
    const random = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
    this.#base = 65_537 + (random % (prime - 131_072));
    let top = 1;
    let value = 0;
    for (let i = 0; i < secret.length; i += 1) {
      top = (top * this.#base) % prime;
      value = (value * this.#base + secret.charCodeAt(i)) % prime;
    }
    this.#top = top;
    this.#wanted = value;
  }

  reset(): void {
    this.#value = 0;
  }

  slide(incoming: number, outgoing: number): void {
    const grown = (this.#value * this.#base + incoming) % this.#prime;
    const gone = (outgoing * this.#top) % this.#prime;
    this.#value = grown >= gone ? grown - gone : grown - gone + this.#prime;
  }

  matches(): boolean {
    return this.#value === this.#wanted;
  }
}
