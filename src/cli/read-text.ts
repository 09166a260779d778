import { readInput } from '../node/index.js';

/** The text of a file or pipe that `argument` names, at most `maxBytes` of it. Errors: INVALID_INPUT, ABORTED. */
export async function readText(
  argument: string,
  path: string,
  maxBytes: number,
  signal?: AbortSignal,
): Promise<string> {
  return Buffer.from(await readInput(argument, path, { maxBytes, signal })).toString('utf8');
}
