import { stat } from 'node:fs/promises';
import { dirname, isAbsolute } from 'node:path';
import { invalidInput } from '../../base/index.js';
import { directoryFault } from '../../node/index.js';

/** Size of a socket address, `sun_path`, less its terminating null. */
const MAX_PATH_BYTES = 107;
const OTHERS_WRITE = 0o022;

/**
 * Refuses a path at which clients could be led to another user's socket: anyone who can write the directory can replace
 * the socket. `trustOwner`: a user trusted in addition to this one and root. Errors: INVALID_INPUT.
 */
export async function checkSocketPlace(path: string, trustOwner: number | null): Promise<void> {
  if (typeof path !== 'string' || !isAbsolute(path) || path.includes('\0')) {
    throw invalidInput('path', 'must be an absolute path without null characters');
  }
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) {
    throw invalidInput('path', `must be at most ${MAX_PATH_BYTES} bytes, the limit of a socket address`);
  }
  const directory = dirname(path);
  const fault = await faultOf(directory, trustOwner);
  if (fault !== null) throw invalidInput('path', `is in a directory that ${fault}`);
}

async function faultOf(directory: string, trustOwner: number | null): Promise<string | null> {
  let mode: number;
  try {
    const found = await stat(directory);
    if (!found.isDirectory()) return 'is a file';
    mode = found.mode;
  } catch (error) {
    return `cannot be used (${error instanceof Error ? error.message : 'an unknown error'})`;
  }
  if ((mode & OTHERS_WRITE) !== 0) return 'others can write; make it private (chmod go-w)';
  return await directoryFault(directory, trustOwner);
}
