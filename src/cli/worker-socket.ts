import { dirname, resolve } from 'node:path';
import { invalidInput } from '../base/index.js';
import { directoryFault } from '../node/index.js';

/**
 * Refuses a socket where somebody else could answer: he would be given the token, and could say that all is well. Errors:
 * INVALID_INPUT.
 */
export async function requireSafeSocket(socket: string, trustOwner: number | undefined): Promise<void> {
  const fault = await directoryFault(dirname(resolve(socket)), trustOwner ?? null);
  if (fault !== null) throw invalidInput('worker', `lies in a directory that cannot be trusted: it ${fault}`);
}
