import { checkBytes, invalidInput } from '../base/index.js';

const MIN_NONCE_BYTES = 16;
const MAX_NONCE_BYTES = 64;

/** 16 to 64 bytes. Errors: INVALID_INPUT. */
export function checkNonce(argument: string, value: unknown): Uint8Array {
  const bytes = checkBytes(argument, value);
  if (bytes.length < MIN_NONCE_BYTES || bytes.length > MAX_NONCE_BYTES) {
    throw invalidInput(
      argument,
      `must be ${MIN_NONCE_BYTES} to ${MAX_NONCE_BYTES} bytes, got ${bytes.length}`,
    );
  }
  return bytes;
}
