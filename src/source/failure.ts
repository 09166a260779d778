import { invalidInput, VramError } from '../base/index.js';

/** Converts a failure of the caller's source into a VramError. */
export function sourceFailure(error: unknown, signal: AbortSignal | undefined): VramError {
  if (error instanceof VramError) return error;
  if (signal?.aborted === true) {
    return new VramError('ABORTED', 'the operation was aborted by its signal', { cause: error });
  }
  return invalidInput('source', 'failed while it was read', error);
}
