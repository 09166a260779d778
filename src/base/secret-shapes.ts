/**
 * Recognises secrets that were not registered: credentials, keys and tokens of well-known shapes, and values behind names
 * such as `password`. A secret without a shape (a bare password, a key in plain hexadecimal) is not found.
 */
const REMOVED = '[redacted]';

interface Rule {
  /** Text without this cannot match. Looking for it costs a fraction of the pattern. */
  readonly needs?: string;
  readonly pattern: RegExp;
  readonly replacement: string;
}

// Any prefix matches (`accessToken`, `HF_TOKEN`, `X-Amz-Signature`); only the value is removed.
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
  // Headers hold secrets in many shapes: the rest of the line is removed.
  {
    pattern: /((?:authorization|cookie)["']?[ \t]{0,8}[=:])[^\r\n]*/gi,
    replacement: `$1 ${REMOVED}`,
  },
  // RFC 6750 and RFC 7617 credentials.
  { pattern: /\b(bearer|basic|digest)[ \t]+[A-Za-z0-9._~+/=-]{6,}/gi, replacement: `$1 ${REMOVED}` },
  // key=value, key: value, "key":"value", and the same within a JSON text.
  {
    pattern: new RegExp(
      `(${SECRET_NAME})(\\\\{0,4}["']?[ \\t]{0,8}[=:][ ` +
        `\\t]{0,8})(?:\\\\{1,4}["'][^"'\\\\]*|"(?:[^"\\\\]|\\\\.)*"?|'(?:[^'\\\\]|\\\\.)*'?|\\S[^\\s&"')\\]}]*)`,
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

/** The text without what looks like a secret or an address. Linear in its length. */
export function removeSecretShapes(text: string): string {
  let clean = text;
  for (const { needs = '', pattern, replacement } of RULES) {
    if (clean.includes(needs)) clean = clean.replace(pattern, replacement);
  }
  return clean;
}
