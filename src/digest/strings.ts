import { invalidInput } from '../base/index.js';

/** Prefix of a written fs-verity digest: SHA-256 over blocks of 2^12 bytes. */
export const FSVERITY_PREFIX = 'fsverity-sha256-12:';
const SHA256_PREFIX = 'sha256:';
const DIGEST = /^(sha256|fsverity-sha256-12):([0-9a-fA-F]{64})$/;

export interface ParsedDigest {
  readonly algorithm: 'sha256' | 'fsverity';
  /** 64 lowercase hex digits. */
  readonly hex: string;
}

/**
 * Reads `sha256:HEX` or `fsverity-sha256-12:HEX` (IV-004); digits in either case. Errors: INVALID_INPUT naming `argument`.
 */
export function checkDigest(argument: string, value: unknown): ParsedDigest {
  const match = typeof value === 'string' ? DIGEST.exec(value) : null;
  const hex = match?.[2];
  if (match === null || hex === undefined) {
    throw invalidInput(
      argument,
      `must be "${SHA256_PREFIX}" or "${FSVERITY_PREFIX}" followed by 64 hexadecimal digits`,
    );
  }
  return { algorithm: match[1] === 'sha256' ? 'sha256' : 'fsverity', hex: hex.toLowerCase() };
}

/** The written form that checkDigest() reads. */
export function formatDigest(digest: ParsedDigest): string {
  return (digest.algorithm === 'sha256' ? SHA256_PREFIX : FSVERITY_PREFIX) + digest.hex;
}
