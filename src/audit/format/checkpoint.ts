import { checkBase64, invalidInput, toBase64 } from '../../base/index.js';
import type { CryptoProvider, Signer } from '../../crypto/index.js';
import { HASH_BYTES } from './merkle.js';
import { parseNote, signNote, type UnverifiedNote } from './note.js';

/** The head of a log at one size (C2SP tlog-checkpoint). */
export interface Checkpoint {
  /** `vram-residency/<workerId>/<logId>`. */
  readonly origin: string;
  /** Number of records. */
  readonly size: number;
  /** RFC 6962 root, 32 bytes. */
  readonly root: Uint8Array;
}

/** A checkpoint and its signed note. */
export interface SignedCheckpoint extends Checkpoint {
  readonly note: string;
}

const ORIGIN = /^vram-residency\/([A-Za-z0-9_-]{1,256})\/([0-9a-f]{32})$/;
const LOG_ID = /^[0-9a-f]{32}$/;

export function logOrigin(workerId: string, logId: string): string {
  return `vram-residency/${workerId}/${logId}`;
}

/** The worker and log that an origin names. Errors: INVALID_INPUT for an origin of another kind of log. */
export function parseOrigin(origin: string): { readonly workerId: string; readonly logId: string } {
  const [, workerId, logId] = ORIGIN.exec(origin) ?? [];
  if (workerId === undefined || logId === undefined) {
    throw invalidInput('origin', 'must be "vram-residency/<worker id>/<log id>"');
  }
  return { workerId, logId };
}

/** A log's id, as its origin names it. Errors: INVALID_INPUT naming `logId`. */
export function checkLogId(logId: string): string {
  if (typeof logId === 'string' && LOG_ID.test(logId)) return logId;
  throw invalidInput('logId', "must be 32 lowercase hexadecimal digits: the last part of the log's origin");
}

/** The three lines that are signed. */
function checkpointText({ origin, size, root }: Checkpoint): string {
  return `${origin}\n${size}\n${toBase64(root)}\n`;
}

/** Signs a checkpoint; the key's name is the origin. */
export async function signCheckpoint(
  crypto: CryptoProvider,
  checkpoint: Checkpoint,
  signer: Signer,
): Promise<SignedCheckpoint> {
  return {
    ...checkpoint,
    note: await signNote(crypto, checkpointText(checkpoint), checkpoint.origin, signer),
  };
}

/** The checkpoint in a note, whose signatures are not verified yet. Errors: INVALID_INPUT naming `argument`. */
export function parseCheckpoint(
  note: string,
  argument = 'checkpoint',
): { readonly checkpoint: SignedCheckpoint; readonly note: UnverifiedNote } {
  const parsed = parseNote(note, argument);
  const [origin, size, root, ...rest] = parsed.text.split('\n');
  // This log writes no extension lines: their content would be signed but never checked.
  if (origin === undefined || size === undefined || root === undefined || rest.length !== 1) {
    throw invalidInput(argument, 'must have exactly three lines: origin, size, root hash');
  }
  parseOrigin(origin);
  if (!/^(0|[1-9][0-9]{0,15})$/.test(size) || !Number.isSafeInteger(Number(size))) {
    throw invalidInput(argument, 'must have a decimal tree size in its second line');
  }
  const hash = checkBase64(argument, root);
  if (hash.length !== HASH_BYTES) throw invalidInput(argument, 'must have a root hash of 32 bytes');
  return { checkpoint: { origin, size: Number(size), root: hash, note }, note: parsed };
}
