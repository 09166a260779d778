import { checkLogId, parseOrigin, parseVerifierKey, type VerifierKey } from '../../audit/index.js';
import { equalBytes, invalidInput } from '../../base/index.js';
import type { CryptoProvider, Signer } from '../../crypto/index.js';

/** The log that a writer expects in its directory. */
export interface ExpectedLog {
  /** null: any, or none yet. */
  readonly logId: string | null;
  /** null: any key in the key file. */
  readonly key: VerifierKey | null;
}

/** Checks the caller's expectations of the log. Errors: INVALID_INPUT naming `logId` or `verifierKey`. */
export async function expectedLog(
  crypto: CryptoProvider,
  given: {
    readonly workerId: string;
    readonly logId?: string | undefined;
    readonly verifierKey?: string | undefined;
  },
): Promise<ExpectedLog> {
  const logId = given.logId === undefined ? null : checkLogId(given.logId);
  if (given.verifierKey === undefined) return { logId, key: null };
  const key = await parseVerifierKey(crypto, given.verifierKey);
  const named = originOf(key);
  if (named.workerId !== given.workerId) {
    throw invalidInput(
      'verifierKey',
      `must be of the worker "${given.workerId}", and is of "${named.workerId}"`,
    );
  }
  if (logId !== null && named.logId !== logId) {
    throw invalidInput('verifierKey', `must be of the log ${logId}, and is of ${named.logId}`);
  }
  return { logId: named.logId, key };
}

/**
 * Errors: INVALID_INPUT naming `verifierKey` where the key file holds another key: records would be signed with it from
 * here on.
 */
export function checkExpectedKey({ key }: ExpectedLog, signer: Signer): void {
  if (key === null || equalBytes(key.publicKey, signer.publicKey)) return;
  throw invalidInput('verifierKey', 'is not that of the key file (was the key file replaced?)');
}

function originOf({ name }: VerifierKey): { readonly workerId: string; readonly logId: string } {
  try {
    return parseOrigin(name);
  } catch (error) {
    throw invalidInput('verifierKey', 'must name an audit log: "vram-residency/<worker id>/<log id>"', error);
  }
}
