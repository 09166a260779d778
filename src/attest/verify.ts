import {
  checkBytes,
  checkInteger,
  checkOptions,
  invalidInput,
  MAX_INTEGER,
  type OptionKeys,
  toHex,
  VramError,
} from '../base/index.js';
import type { CryptoProvider } from '../crypto/index.js';
import { checkDigest } from '../digest/index.js';
import { notGenuine, openEnvelope } from './envelope.js';
import { checkNonce } from './nonce.js';
import { readStatement } from './read-statement.js';
import type { ResidencyStatement } from './statement.js';

/** What an attestation is checked against. */
export interface AttestationCheck {
  /** Ed25519, 32 bytes; from a source that the reader trusts, never from the attestation. */
  readonly publicKey: Uint8Array;
  /** The nonce that was sent. Null gives up the proof that the statement is not a replay. */
  readonly nonce: Uint8Array | null;
  /** Maximum time since the verification began, by this machine's clock. Default: no limit. */
  readonly maxAgeMs?: number | undefined;
  /** `sha256:HEX` or `fsverity-sha256-12:HEX`: what must be resident. */
  readonly expected?: string | undefined;
  /** Milliseconds since 1970; default: this machine's clock. */
  readonly now?: number | undefined;
}

/** An attestation that verified. */
export interface AttestationReport {
  readonly statement: ResidencyStatement;
  /** Milliseconds since the verification began; negative where the clocks differ. */
  readonly ageMs: number;
  /** Whether the nonce was checked. */
  readonly fresh: boolean;
}

const CHECK_KEYS = {
  publicKey: true,
  nonce: true,
  maxAgeMs: true,
  expected: true,
  now: true,
} satisfies OptionKeys<AttestationCheck>;
const KEY_BYTES = 32;
/** How far the signer's clock may run ahead where an age is asked for. */
const CLOCK_SKEW_MS = 60_000;

/**
 * Checks an attestation: signature, form, nonce, age, digest, in this order. It proves only that the holder of the key
 * made the statement after seeing the nonce: the signer is software on the host that the statement describes.
 * Errors: INVALID_INPUT (the options), SEAL_VERIFICATION_FAILED (the attestation, its nonce or its age), SOURCE_MISMATCH
 * (other bytes than expected).
 */
export async function verifyAttestation(
  crypto: CryptoProvider,
  text: string,
  check: AttestationCheck,
): Promise<AttestationReport> {
  if (typeof text !== 'string') throw invalidInput('attestation', 'must be the text of a DSSE envelope');
  checkOptions('check', check, CHECK_KEYS);
  const publicKey = checkBytes('publicKey', check.publicKey);
  if (publicKey.length !== KEY_BYTES) throw invalidInput('publicKey', `must be ${KEY_BYTES} bytes`);
  const nonce = check.nonce === null ? null : checkNonce('nonce', check.nonce);
  const expected = check.expected === undefined ? null : checkDigest('expected', check.expected);
  const maxAgeMs =
    check.maxAgeMs === undefined ? null : checkInteger('maxAgeMs', check.maxAgeMs, 0, MAX_INTEGER);

  const statement = readStatement(await openEnvelope(crypto, text, publicKey));
  const { predicate } = statement;
  if (nonce !== null && predicate.nonce !== toHex(nonce)) {
    throw notGenuine('it answers another nonce: it was made for someone else, or is an old one');
  }
  const ageMs = (check.now ?? Date.now()) - Date.parse(predicate.verifiedAt);
  if (maxAgeMs !== null && (ageMs > maxAgeMs || ageMs < -CLOCK_SKEW_MS)) {
    throw notGenuine(
      ageMs < 0
        ? `its verification begins ${-ageMs} ms in the future`
        : `its verification began ${ageMs} ms ago, and ${maxAgeMs} are allowed`,
    );
  }
  if (expected !== null) {
    const found = expected.algorithm === 'sha256' ? predicate.sha256 : predicate.fsverity.slice(-64);
    if (found !== expected.hex) {
      throw new VramError(
        'SOURCE_MISMATCH',
        found === null
          ? 'the attestation holds no SHA-256 of the stream that was sealed: compare the fsverity digest'
          : 'the attested bytes have another digest than the expected one',
      );
    }
  }
  return Object.freeze({ statement, ageMs, fresh: nonce !== null });
}
