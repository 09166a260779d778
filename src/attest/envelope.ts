import {
  fromEitherBase64,
  isJsonObject,
  type JsonValue,
  parseStrictJson,
  toBase64,
  toHex,
  VramError,
} from '../base/index.js';
import { type CryptoProvider, preAuthEncoding, type Signer } from '../crypto/index.js';

/** DSSE v1 envelope as JSON (its JSON form is what files hold). */
export interface AttestationEnvelope {
  /** The statement's bytes, base64. */
  readonly payload: string;
  readonly payloadType: typeof STATEMENT_TYPE;
  readonly signatures: readonly [{ readonly keyid: string; readonly sig: string }];
}

/** Media type of an in-toto statement: part of what is signed. */
const STATEMENT_TYPE = 'application/vnd.in-toto+json';
/**
 * An attestation is some 2 KiB, and some 300 bytes more for every published file of a seal of tensors: room for 4096 of
 * them.
 */
export const MAX_ENVELOPE_CHARACTERS = 2 ** 21;

const SIGNATURE_BYTES = 64;
const MAX_SIGNATURES = 16;

/** SHA-256 of the raw public key, hex: distinguishes keys, proves nothing. */
export async function keyId(crypto: CryptoProvider, publicKey: Uint8Array): Promise<string> {
  return toHex(await crypto.sha256(publicKey));
}

/**
 * Signs a statement's bytes: Ed25519 (RFC 8032) over their DSSE encoding. Errors: INVALID_INPUT for a signer that gives no
 * such signature.
 */
export async function signEnvelope(
  crypto: CryptoProvider,
  signer: Signer,
  statement: Uint8Array,
): Promise<AttestationEnvelope> {
  const encoded = preAuthEncoding(STATEMENT_TYPE, statement);
  const signature = await signer.sign(encoded);
  // A signer may be a hardware token: its signature is checked before anyone relies on it.
  if (!(await crypto.verifyEd25519(signer.publicKey, encoded, signature))) {
    throw new VramError('INVALID_INPUT', '"attestationKey" gave no signature that its public key verifies', {
      argument: 'attestationKey',
    });
  }
  const entry = Object.freeze({ keyid: await keyId(crypto, signer.publicKey), sig: toBase64(signature) });
  return Object.freeze({
    payload: toBase64(statement),
    payloadType: STATEMENT_TYPE,
    signatures: Object.freeze([entry] as const),
  });
}

/**
 * The statement's bytes, if one of the envelope's signatures over them is by `publicKey`. The text may come from an
 * attacker: nothing in it is used before the signature is checked. Key ids are ignored, and so are fields that DSSE does
 * not know.
 * Errors: SEAL_VERIFICATION_FAILED.
 */
export async function openEnvelope(
  crypto: CryptoProvider,
  text: string,
  publicKey: Uint8Array,
): Promise<Uint8Array> {
  const { payload, signatures } = readEnvelope(text);
  const encoded = preAuthEncoding(STATEMENT_TYPE, payload);
  for (const signature of signatures) {
    if (await crypto.verifyEd25519(publicKey, encoded, signature)) return payload;
  }
  throw notGenuine('no signature in it is by the given key over its content');
}

function readEnvelope(text: string): { payload: Uint8Array; signatures: readonly Uint8Array[] } {
  const envelope = parseObject(text, 'its text');
  const payload = decoded(envelope['payload']);
  if (payload === null) throw notGenuine('"payload" is not base64');
  if (envelope['payloadType'] !== STATEMENT_TYPE)
    throw notGenuine(`"payloadType" is not "${STATEMENT_TYPE}"`);
  const entries = envelope['signatures'];
  if (!Array.isArray(entries) || entries.length === 0 || entries.length > MAX_SIGNATURES) {
    throw notGenuine(`"signatures" is not a list of 1 to ${MAX_SIGNATURES}`);
  }
  return { payload, signatures: entries.map(readSignature) };
}

function readSignature(entry: JsonValue): Uint8Array {
  if (!isJsonObject(entry)) throw notGenuine('a signature is not an object');
  const keyid = entry['keyid'];
  if (keyid !== undefined && typeof keyid !== 'string') throw notGenuine('a "keyid" is not text');
  const signature = decoded(entry['sig']);
  if (signature === null) throw notGenuine('a "sig" is not base64');
  // Signatures of other schemes may stand beside ours; they cannot verify.
  return signature.length === SIGNATURE_BYTES ? signature : new Uint8Array(0);
}

function decoded(value: JsonValue | undefined): Uint8Array | null {
  return typeof value === 'string' && value !== '' ? fromEitherBase64(value) : null;
}

/** Strict JSON text of one object. Errors: SEAL_VERIFICATION_FAILED. */
export function parseObject(text: string, what: string): { readonly [key: string]: JsonValue } {
  if (text.length > MAX_ENVELOPE_CHARACTERS) throw notGenuine(`${what} is too long to be one`);
  let value: JsonValue;
  try {
    value = parseStrictJson(text, { what, maxDepth: 8, refuseLoneSurrogates: true });
  } catch (error) {
    throw notGenuine(`${what} is not strict JSON`, error);
  }
  if (!isJsonObject(value)) throw notGenuine(`${what} is not a JSON object`);
  return value;
}

/** SEAL_VERIFICATION_FAILED: the text is not what a worker with this key signed. */
export function notGenuine(problem: string, cause?: unknown): VramError {
  return new VramError('SEAL_VERIFICATION_FAILED', `the attestation is not genuine: ${problem}`, {
    cause,
  });
}
