import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import {
  type AuditReport,
  auditFailed,
  formatVerifierKey,
  type LogSource,
  parseCheckpoint,
  parseOrigin,
  parseVerifierKey,
  type VerifyLogOptions,
  verifierKey,
  verifyLog,
  verifyNote,
} from '../../audit/index.js';
import { checkInteger, checkOptions, invalidInput, isVramError, type OptionKeys } from '../../base/index.js';
import { nodeCrypto } from '../crypto.js';
import { checkTrustOwner } from '../files/index.js';
import { defaultKeyFile, defaultKeyFileIfAny, readPublicKey } from '../keys/index.js';
import { type AuditPlatform, systemPlatform } from './directory.js';
import { directorySource } from './directory-source.js';
import { readCheckpointFile, segmentPath } from './layout.js';
import { isHeld } from './lock.js';
import { VerifyPool } from './verify-pool.js';

/** Options of verifyAudit(). */
export interface VerifyAuditOptions extends Omit<VerifyLogOptions, 'live' | 'concurrency'> {
  /** Key file whose public half verifies the checkpoints; default the worker's own, if it exists. */
  readonly keyFile?: string | undefined;
  /** A user id that is trusted with the key file, as in openAuditDirectory. */
  readonly trustOwner?: number | undefined;
  /** Number of threads; default one for each core and segment, at most 4; 1 uses the calling thread. */
  readonly workers?: number | undefined;
}

const VERIFY_KEYS = {
  token: true,
  verifierKey: true,
  checkpoint: true,
  logId: true,
  onProgress: true,
  keyFile: true,
  trustOwner: true,
  workers: true,
} satisfies OptionKeys<VerifyAuditOptions>;

/** Options of auditVerifierKey(). */
export interface VerifierKeyOptions {
  /** Default the worker's own. */
  readonly keyFile?: string | undefined;
  /** A user id that is trusted with the key file, as in openAuditDirectory. */
  readonly trustOwner?: number | undefined;
}

const VERIFIER_KEY_KEYS = { keyFile: true, trustOwner: true } satisfies OptionKeys<VerifierKeyOptions>;
const MAX_DEFAULT_WORKERS = 4;
/** Below this a thread costs more than it saves. */
const MIN_PARALLEL_BYTES = 33_554_432;
/** Beside this module once compiled; absent where the TypeScript sources run. */
const WORKER_SCRIPT = new URL('./verify-worker.js', import.meta.url);

/** Documented at the door, index.ts. */
export async function verifyAudit(
  dir: string,
  options: VerifyAuditOptions = {},
  platform: AuditPlatform = systemPlatform,
): Promise<AuditReport> {
  checkOptions('options', options, VERIFY_KEYS);
  const { fs, processes, crypto } = platform;
  const source = await reading(() => directorySource(fs, crypto, dir));
  const trustOwner = checkTrustOwner(options.trustOwner);
  const key = options.verifierKey ?? (await localVerifierKey(source, options.keyFile, trustOwner));
  const threads = platform === systemPlatform ? await threadsFor(dir, source, options.workers) : 1;
  const pool = threads > 1 ? new VerifyPool(threads, WORKER_SCRIPT) : null;
  try {
    return await reading(async () =>
      verifyLog(
        crypto,
        pool === null ? source : { ...source, run: (job) => pool.run(segmentPath(dir, job.stem), job) },
        {
          ...options,
          live: await isHeld(fs, dir, processes),
          // One more than there are threads, so that none waits for its next segment.
          concurrency: pool === null ? 1 : threads + 1,
          verifierKey: key ?? undefined,
        },
      ),
    );
  } finally {
    await pool?.close();
  }
}

/** Documented at the door, index.ts. */
export async function auditVerifierKey(dir: string, options: VerifierKeyOptions = {}): Promise<string> {
  checkOptions('options', options, VERIFIER_KEY_KEYS);
  const trustOwner = checkTrustOwner(options.trustOwner);
  const checkpoint = await reading(() => readCheckpointFile(systemPlatform.fs, dir));
  if (checkpoint === null) throw invalidInput('dir', 'has no checkpoint, so it is not an audit log');
  const { checkpoint: head, note } = parseCheckpoint(checkpoint, 'dir');
  const keyFile = options.keyFile ?? defaultKeyFile(parseOrigin(head.origin).workerId);
  const line = await keyLine(head.origin, keyFile, trustOwner);
  if (line === null) throw invalidInput('keyFile', 'is not there: the key lies where the log was written');
  // The line names the log by the checkpoint file, which someone else may have put there.
  if (!(await verifyNote(nodeCrypto, note, await parseVerifierKey(nodeCrypto, line)))) {
    throw invalidInput(
      'keyFile',
      'did not sign the checkpoint: it is the key of another log, or the checkpoint was changed',
    );
  }
  return line;
}

async function localVerifierKey(
  source: LogSource,
  keyFile: string | undefined,
  trustOwner: number | null,
): Promise<string | null> {
  if (source.checkpoint === null) return null;
  let origin: string;
  try {
    origin = parseCheckpoint(source.checkpoint).checkpoint.origin;
  } catch (error) {
    // Verification reports it.
    if (isVramError(error, 'INVALID_INPUT')) return null;
    throw error;
  }
  const line = await keyLine(origin, keyFile, trustOwner);
  if (line === null && keyFile !== undefined) throw invalidInput('keyFile', 'is not there');
  return line;
}

async function keyLine(
  origin: string,
  keyFile: string | undefined,
  trustOwner: number | null,
): Promise<string | null> {
  const path = keyFile ?? defaultKeyFileIfAny(parseOrigin(origin).workerId);
  const publicKey = path === null ? null : await readPublicKey(path, trustOwner);
  return publicKey === null ? null : formatVerifierKey(await verifierKey(nodeCrypto, origin, publicKey));
}

async function threadsFor(dir: string, source: LogSource, requested: number | undefined): Promise<number> {
  const most = Math.max(1, source.stems.length);
  if (!existsSync(fileURLToPath(WORKER_SCRIPT))) return 1;
  if (requested !== undefined) return Math.min(checkInteger('workers', requested, 1, 256), most);
  let bytes = 0;
  for (const stem of source.stems) bytes += (await stat(segmentPath(dir, stem))).size;
  return bytes < MIN_PARALLEL_BYTES ? 1 : Math.min(availableParallelism(), MAX_DEFAULT_WORKERS, most);
}

/** Converts system errors to AUDIT_FAILED; passes errors of the library on. */
export async function reading<T>(
  action: () => Promise<T>,
  what = 'the audit log cannot be read',
): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw isVramError(error) ? error : auditFailed(what, error);
  }
}
