import {
  checkBase64,
  concatBytes,
  equalBytes,
  invalidInput,
  toBase64,
  toHex,
  utf8,
} from '../../base/index.js';
import type { CryptoProvider, Signer } from '../../crypto/index.js';

/** C2SP signed-note: Ed25519. */
const ED25519_TYPE = 0x01;
const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;
const KEY_ID_BYTES = 4;
const MAX_SIGNATURES = 16;
const MAX_NOTE_LENGTH = 65_536;
const SIGNATURE_LINE = /^\u2014 ([^\s+]+) ([A-Za-z0-9+/]+={0,2})$/u;
const VERIFIER_KEY = /^([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})$/u;

type Hashing = Pick<CryptoProvider, 'sha256'>;

/** A named public key (C2SP signed-note). */
export interface VerifierKey {
  /** For a log: the origin line of its checkpoints. */
  readonly name: string;
  /** 4 bytes. */
  readonly keyId: Uint8Array;
  /** Ed25519, 32 bytes. */
  readonly publicKey: Uint8Array;
}

/** SHA-256(name || 0x0A || 0x01 || public key)[:4]. */
export async function verifierKey(
  crypto: Hashing,
  name: string,
  publicKey: Uint8Array,
): Promise<VerifierKey> {
  if (!/^[^\s+]+$/u.test(name)) throw invalidInput('name', 'must be non-empty without spaces and "+"');
  if (publicKey.length !== KEY_BYTES) throw invalidInput('publicKey', `must be ${KEY_BYTES} bytes`);
  const hash = await crypto.sha256(concatBytes(utf8(`${name}\n`), Uint8Array.of(ED25519_TYPE), publicKey));
  return { name, keyId: hash.slice(0, KEY_ID_BYTES), publicKey };
}

/** The line `<name>+<key id, hex>+<base64 of type and key>` that transparency tools read. */
export function formatVerifierKey(key: VerifierKey): string {
  const id = toHex(key.keyId);
  return `${key.name}+${id}+${toBase64(concatBytes(Uint8Array.of(ED25519_TYPE), key.publicKey))}`;
}

/** Reads a verifier key line. Errors: INVALID_INPUT. */
export async function parseVerifierKey(crypto: Hashing, line: string): Promise<VerifierKey> {
  const [, name, id, encoded] = VERIFIER_KEY.exec(line.trim()) ?? [];
  if (name === undefined || id === undefined || encoded === undefined) {
    throw invalidInput('verifierKey', 'must be a line "<name>+<key id>+<key>", as "audit key" prints it');
  }
  const bytes = checkBase64('verifierKey', encoded);
  if (bytes.length !== 1 + KEY_BYTES || bytes[0] !== ED25519_TYPE) {
    throw invalidInput('verifierKey', 'must hold an Ed25519 key');
  }
  const key = await verifierKey(crypto, name, bytes.slice(1));
  if (formatVerifierKey(key) !== line.trim())
    throw invalidInput('verifierKey', 'has a key id that does not match its key');
  return key;
}

/** Signs `text`, which ends in a newline, under a key name. */
export async function signNote(crypto: Hashing, text: string, name: string, signer: Signer): Promise<string> {
  checkNoteText(text);
  const key = await verifierKey(crypto, name, signer.publicKey);
  const signature = await signer.sign(utf8(text));
  return `${text}\n\u2014 ${name} ${toBase64(concatBytes(key.keyId, signature))}\n`;
}

/** A note whose signatures are not verified yet. */
export interface UnverifiedNote {
  readonly text: string;
  readonly signatures: readonly { readonly name: string; readonly bytes: Uint8Array }[];
}

/** Splits a note into its text and signatures. Errors: INVALID_INPUT naming `argument`. */
export function parseNote(note: string, argument = 'note'): UnverifiedNote {
  if (note.length > MAX_NOTE_LENGTH)
    throw invalidInput(argument, `must be at most ${MAX_NOTE_LENGTH} characters`);
  const split = note.lastIndexOf('\n\n');
  if (split < 0 || !note.endsWith('\n')) throw invalidInput(argument, 'must be a signed note');
  const text = note.slice(0, split + 1);
  checkNoteText(text, argument);
  const lines = note.slice(split + 2, -1).split('\n');
  if (lines.length > MAX_SIGNATURES) {
    throw invalidInput(argument, `must have at most ${MAX_SIGNATURES} signatures`);
  }
  const signatures = lines.map((line) => {
    const [, name, encoded] = SIGNATURE_LINE.exec(line) ?? [];
    const bytes = encoded === undefined ? null : checkBase64(argument, encoded);
    if (name === undefined || bytes === null || bytes.length <= KEY_ID_BYTES) {
      throw invalidInput(argument, 'has a line that is not a signature');
    }
    return { name, bytes };
  });
  return { text, signatures };
}

/**
 * True if the key signed the note. Signatures of other keys are ignored; a signature of this key that does not verify
 * makes the note invalid.
 */
export async function verifyNote(
  crypto: CryptoProvider,
  note: UnverifiedNote,
  key: VerifierKey,
): Promise<boolean> {
  const own = note.signatures.filter(
    ({ name, bytes }) => name === key.name && equalBytes(bytes.subarray(0, KEY_ID_BYTES), key.keyId),
  );
  for (const { bytes } of own) {
    const signature = bytes.subarray(KEY_ID_BYTES);
    if (signature.length !== SIGNATURE_BYTES) return false;
    if (!(await crypto.verifyEd25519(key.publicKey, utf8(note.text), signature))) return false;
  }
  return own.length > 0;
}

function checkNoteText(text: string, argument = 'text'): void {
  if (!text.endsWith('\n')) throw invalidInput(argument, 'must end in a newline');
  if (/[^\P{Cc}\n]|\p{Surrogate}/u.test(text))
    throw invalidInput(argument, 'must not hold control characters');
}
