import { invalidInput } from '../base/index.js';
import { readLimited } from '../node/index.js';
import { unreadable } from './options.js';

/** The text of a file or pipe that `argument` names, at most `maxBytes` of it. Errors: INVALID_INPUT. */
export async function readText(argument: string, path: string, maxBytes: number): Promise<string> {
  try {
    return Buffer.from(await readLimited(path, maxBytes)).toString('utf8');
  } catch (error) {
    if (error instanceof RangeError) throw invalidInput(argument, `is larger than ${maxBytes} bytes`, error);
    throw unreadable(argument, error);
  }
}
