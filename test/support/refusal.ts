import { isVramError } from '../../src/base/errors.js';

/** The code and message with which an action refuses, `accepted` if it does not; other errors are thrown on. */
export async function refusal(action: () => unknown): Promise<string> {
  try {
    await action();
  } catch (error) {
    if (isVramError(error)) return `${error.code}: ${error.message}`;
    throw error;
  }
  return 'accepted';
}
