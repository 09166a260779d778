import { KnownSecret, writtenForms } from '../base/index.js';

/**
 * Takes secrets out of text that callers may have filled with anything. Every step is linear in the text's length: each pattern either matches once
 * it has begun or gives up after a bounded number of characters.
 */
const REMOVED = '[redacted]';

interface Rule {
  /** Text without this cannot match. Looking for it costs a fraction of the pattern. */
  readonly needs?: string;
  readonly pattern: RegExp;
  readonly replacement: string;
}

// What stands before the word does not matter (`accessToken`, `HF_TOKEN`, `X-Amz-Signature`): only the value is taken out.
const SECRET_NAME = [
  'token',
  'secret',
  'passwd',
  'password',
  'passphrase',
  'passcode',
  'pwd',
  'credentials?',
  'signature',
  '(?<![a-z])sig',
  '(?<![a-z])auth',
  '(?:api|access|private|signing|session|secret|encryption)[_-]?key(?:[_-]?id)?',
].join('|');

const RULES: readonly Rule[] = [
  // PEM blocks; one without an end goes on to the end of the text.
  {
    needs: '-----BEGIN',
    pattern: /-----BEGIN [A-Z0-9 ]{1,40}-----[\s\S]*?(?:-----END [A-Z0-9 ]{1,40}-----|$)/g,
    replacement: REMOVED,
  },
  // Headers hold secrets in many shapes: the rest of the line goes.
  {
    pattern: /((?:authorization|cookie)["']?[ \t]{0,8}[=:])[^\r\n]*/gi,
    replacement: `$1 ${REMOVED}`,
  },
  // RFC 6750 and RFC 7617 credentials.
  { pattern: /\b(bearer|basic|digest)[ \t]+[A-Za-z0-9._~+/=-]{6,}/gi, replacement: `$1 ${REMOVED}` },
  // key=value, key: value, "key":"value", and the same within a JSON text.
  {
    pattern: new RegExp(
      `(${SECRET_NAME})(\\\\{0,4}["']?[ \\t]{0,8}[=:][ \\t]{0,8})(?:\\\\{1,4}["'][^"'\\\\]*|"(?:[^"\\\\]|\\\\.)*"?|'(?:[^'\\\\]|\\\\.)*'?|\\S[^\\s&"')\\]}]*)`,
      'gi',
    ),
    replacement: `$1$2${REMOVED}`,
  },
  // --password value
  {
    needs: '--',
    pattern: new RegExp(`(--[a-z0-9-]{0,24}?(?:${SECRET_NAME}))[ \\t]{1,8}[^\\s-]\\S*`, 'gi'),
    replacement: `$1 ${REMOVED}`,
  },
  // User names, passwords and tokens inside URLs.
  { needs: '://', pattern: /:\/\/[^\s/@]+@/g, replacement: `://${REMOVED}@` },
  // Well-known key shapes and JSON web tokens.
  {
    pattern:
      /(?<![A-Za-z0-9])(?:hf_|sk-|gh[opsur]_|github_pat_|glpat-|xox[abeprs]-|npm_|pypi-|AIza|ya29\.|AKIA|ASIA)[A-Za-z0-9_-]{12,}/g,
    replacement: REMOVED,
  },
  { needs: 'eyJ', pattern: /eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+){0,4}/g, replacement: REMOVED },
  // Addresses.
  { pattern: /0x[0-9a-f]{6,}/gi, replacement: REMOVED },
];

const PLAIN = /^[\x20-\x7e]*$/;
// Characters that are not seen, or that steer a terminal.
const UNSEEN = /(?![\t\n\r])[\p{Cc}\p{Cf}]/gu;
const LINE_BREAKS = /[\t\n\r\u2028\u2029]+/g;

export interface Redactor {
  /** The text on one line, without secrets and without characters that cannot be seen. */
  redact(text: string): string;
}

/** A redactor for the patterns above and, where one is given, for the worker's own token in its written forms. */
export function createRedactor(token?: Uint8Array): Redactor {
  const known = token === undefined ? null : new KnownSecret(writtenForms(token), REMOVED);
  const remove = (text: string): string => {
    let clean = known === null ? text : known.remove(text);
    for (const { needs = '', pattern, replacement } of RULES) {
      if (clean.includes(needs)) clean = clean.replace(pattern, replacement);
    }
    return clean;
  };
  return {
    redact(text: string): string {
      if (PLAIN.test(text)) return remove(text);
      const seen = text.replace(UNSEEN, '');
      const clean = remove(seen);
      // Full-width letters and the like read as the plain ones: what is a secret there is one here. Other text stays as it was written.
      const folded = seen.normalize('NFKC');
      const cleanFolded = folded === seen ? folded : remove(folded);
      return (cleanFolded === folded ? clean : cleanFolded).replace(LINE_BREAKS, ' ');
    },
  };
}
