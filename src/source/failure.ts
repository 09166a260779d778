import { invalidInput, VramError } from '../base/index.js';

/** A failure of the caller's source as one of ours. */
export function sourceFailure(error: unknown, signal: AbortSignal | undefined): VramError {
  if (error instanceof VramError) return error;
  if (signal?.aborted === true) {
    return new VramError('ABORTED', 'the operation was aborted by its signal', { cause: error });
  }
  return invalidInput('source', 'failed while it was read', error);
}
