import { invalidInput, VramError } from '../../base/index.js';

/** Converts an addon error about a socket: INVALID_INPUT for its path, else DEVICE_UNAVAILABLE. */
export function socketFailure(error: unknown, what: string): VramError {
  if (error instanceof VramError) return error;
  const reason = error instanceof Error ? error.message : 'an unknown error';
  if (error instanceof Error && Reflect.get(error, 'code') === 'PATH') return invalidInput('path', reason);
  return new VramError('DEVICE_UNAVAILABLE', `${what}: ${reason}`, { cause: error });
}
