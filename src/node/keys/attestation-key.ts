import { createPublicKey } from 'node:crypto';
import { resolve } from 'node:path';
import { checkId, checkOptions, invalidInput, type OptionKeys } from '../../base/index.js';
import type { Signer } from '../../crypto/index.js';
import { checkTrustOwner, readInput } from '../files/index.js';
import { defaultKeyFile, defaultKeyFileIfAny, openKeyFile, readPublicKey } from './key-file.js';

/** Where the key that signs attestations lies. */
export interface AttestationKeyOptions {
  readonly workerId: string;
  /** Created if missing, readable by its owner alone; default in the user's state directory. */
  readonly keyFile?: string | undefined;
  /** The audit log's directory, in which the key must not lie. */
  readonly auditDirectory?: string | undefined;
  /** The audit log's own key file, whose key must not be this one; default the worker's. */
  readonly checkpointKeyFile?: string | undefined;
  /** A further trusted owner of key files and their directories, besides this process's user and root. Default: none. */
  readonly trustOwner?: number | undefined;
}

const OPTION_KEYS = {
  workerId: true,
  keyFile: true,
  auditDirectory: true,
  checkpointKeyFile: true,
  trustOwner: true,
} satisfies OptionKeys<AttestationKeyOptions>;
const KEY_BYTES = 32;
const MAX_PEM_BYTES = 4_096;

/**
 * A worker's Ed25519 key for attestations, for `attestationKey` of the manager. It differs from the audit log's key, so
 * that permission to sign one does not include the other. Errors: INVALID_INPUT.
 */
export async function openAttestationKey(options: AttestationKeyOptions): Promise<Signer> {
  checkOptions('options', options, OPTION_KEYS);
  const workerId = checkId('workerId', options.workerId);
  const path = resolve(options.keyFile ?? defaultAttestationKeyFile(workerId));
  const checkpointFile = options.checkpointKeyFile ?? defaultKeyFileIfAny(workerId);
  if (checkpointFile !== null && path === resolve(checkpointFile)) throw sharedKey();
  const trustOwner = checkTrustOwner(options.trustOwner);
  const signer = await openKeyFile(path, { logDirectory: options.auditDirectory ?? null, trustOwner });
  const checkpointKey = checkpointFile === null ? null : await readPublicKey(checkpointFile, trustOwner);
  if (checkpointKey !== null && Buffer.compare(checkpointKey, signer.publicKey) === 0) throw sharedKey();
  return signer;
}

function defaultAttestationKeyFile(
  workerId: string,
  env: Readonly<Record<string, string | undefined>> = process.env,
): string {
  return defaultKeyFile(workerId, env, 'attestation');
}

/** A public key as a SubjectPublicKeyInfo in PEM (RFC 8410), as `openssl pkey -pubout` writes it. */
export function publicKeyPem(publicKey: Uint8Array): string {
  const x = Buffer.from(publicKey).toString('base64url');
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
  return key.export({ type: 'spki', format: 'pem' }).toString();
}

/**
 * The 32 bytes of an Ed25519 public key in PEM. A private key is refused: verification does not need it. Errors:
 * INVALID_INPUT.
 */
export async function readPublicKeyPem(argument: string, path: string): Promise<Uint8Array> {
  const text = Buffer.from(await readInput(argument, path, { maxBytes: MAX_PEM_BYTES })).toString('utf8');
  if (!/^\s*-----BEGIN PUBLIC KEY-----/.test(text)) {
    throw invalidInput(argument, 'must hold a public key in PEM, as "attest key" prints it');
  }
  try {
    const { crv, x } = createPublicKey(text).export({ format: 'jwk' });
    const bytes = new Uint8Array(Buffer.from(x ?? '', 'base64url'));
    if (crv === 'Ed25519' && bytes.length === KEY_BYTES) return bytes;
  } catch (error) {
    throw invalidInput(argument, 'must hold a public key in PEM', error);
  }
  throw invalidInput(argument, 'must hold an Ed25519 key');
}

function sharedKey(): Error {
  return invalidInput(
    'keyFile',
    "is the key of the audit log's checkpoints; attestations need one of their own",
  );
}
