import { invalidInput } from './errors.js';
import { checkBytes } from './validate.js';

const MIN_TOKEN_BYTES = 16;

/** A worker token: at least 16 bytes, not all zero. Errors: INVALID_INPUT, which never quotes the token. */
export function checkToken(argument: string, token: unknown): Uint8Array {
  const bytes = checkBytes(argument, token);
  if (bytes.length < MIN_TOKEN_BYTES)
    throw invalidInput(argument, `must be at least ${MIN_TOKEN_BYTES} bytes`);
  if (bytes.every((byte) => byte === 0)) {
    throw invalidInput(
      argument,
      'must not be all zero (a token is zeroed once its keys are derived: give a fresh copy)',
    );
  }
  return bytes;
}
