import { realpath } from 'node:fs/promises';
import { resolve } from 'node:path';
import {
  type AuditGroup,
  AuditLog,
  type AuditLogOptions,
  type AuditSink,
  type AuditWaitOptions,
  auditFailed,
  Chain,
  formatVerifierKey,
  type LogHead,
  logOrigin,
  MAX_SEGMENT_BYTES,
  openedData,
  RecordedSecret,
  recoveredData,
  type SignedCheckpoint,
  verifierKey,
} from '../../audit/index.js';
import {
  checkId,
  checkInteger,
  checkOptions,
  checkToken,
  invalidInput,
  isVramError,
  type OptionKeys,
} from '../../base/index.js';
import type { CryptoProvider, Signer } from '../../crypto/index.js';
import type { Observer } from '../../events/index.js';
import { nodeCrypto } from '../crypto.js';
import { type AuditFileSystem, checkTrustOwner, directoryFault, nodeFileSystem } from '../files/index.js';
import { defaultKeyFile, openKeyFile } from '../keys/index.js';
import { DirectorySink } from './directory-sink.js';
import { checkExpectedKey, expectedLog } from './expected-log.js';
import { acquireLock, type WriterLock } from './lock.js';
import { type ProcessTable, systemProcesses } from './process-identity.js';
import { repairLog } from './repair.js';
import type { Survey } from './survey.js';
import { surveyLog } from './survey-log.js';
import { verifyWhole } from './verify-whole.js';

/** An audit log in a directory. */
export interface AuditDirectoryOptions extends AuditLogOptions {
  /** Created if missing. */
  readonly dir: string;
  /** At least 16 bytes, not all zero. Used up before the promise resolves; the caller zeroes it. */
  readonly token: Uint8Array;
  readonly workerId: string;
  /**
   * Ed25519 key of the checkpoints, created if missing; default in the user's state directory. Never inside `dir`.
   */
  readonly keyFile?: string | undefined;
  /**
   * A further trusted owner of the directories of log and key, besides this process's user and root: for volumes on
   * which everything belongs to one user. Default: none.
   */
  readonly trustOwner?: number | undefined;
  /** Further sinks for the same lines. */
  readonly sinks?: readonly AuditSink[] | undefined;
  /**
   * Verify every segment before the log continues, not only the newest: costs as much as `verifyAudit`, at every start.
   * Default false.
   */
  readonly verifyAll?: boolean | undefined;
  /**
   * The log that must be in `dir`, 32 lowercase hex digits. Without it, another log of this worker, or a new one, would
   * be accepted in its place.
   */
  readonly logId?: string | undefined;
  /**
   * The line that "audit key" printed for that log: names the log as `logId` does, and the key that must be in the key
   * file.
   */
  readonly verifierKey?: string | undefined;
  /** Bytes at which a new segment begins; default and at most 100,000,000. */
  readonly maxSegmentBytes?: number | undefined;
}

/** The platform below the log; tests replace parts of it. */
export interface AuditPlatform {
  readonly fs: AuditFileSystem;
  readonly processes: ProcessTable;
  readonly crypto: CryptoProvider;
}

/** A log directory that is open for writing. */
export interface AuditDirectory {
  /** To be passed to the manager. */
  readonly observer: Observer;
  readonly log: AuditLog;
  readonly dir: string;
  /** Origin line of the checkpoints. */
  readonly origin: string;
  /** The Ed25519 public key, 32 bytes, that verifies checkpoints. */
  readonly signerPublicKey: Uint8Array;
  /** The line that "audit key" prints. */
  readonly verifierKey: string;
  /** Flushes, publishes a checkpoint and returns it: the log head for an attestation. Errors: AUDIT_FAILED, ABORTED. */
  head(options?: AuditWaitOptions): Promise<LogHead>;
  /** Waits until every event so far is on stable storage. Errors: AUDIT_FAILED, ABORTED. */
  flush(options?: AuditWaitOptions): Promise<void>;
  /**
   * Closes the log in order and releases its lock once no write is in progress. A second call returns the same promise.
   * Errors: AUDIT_FAILED, ABORTED.
   */
  close(options?: AuditWaitOptions): Promise<void>;
}

const DIRECTORY_KEYS = {
  dir: true,
  token: true,
  workerId: true,
  keyFile: true,
  trustOwner: true,
  sinks: true,
  verifyAll: true,
  logId: true,
  verifierKey: true,
  maxSegmentBytes: true,
  maxQueue: true,
  onCheckpoint: true,
  sinkMs: true,
  signerMs: true,
  now: true,
  monotonicMs: true,
} satisfies OptionKeys<AuditDirectoryOptions>;
const MIN_SEGMENT_BYTES = 1_024;

export const systemPlatform: AuditPlatform = {
  fs: nodeFileSystem,
  processes: systemProcesses,
  crypto: nodeCrypto,
};

/** Documented in index.ts. */
export async function openAuditDirectory(
  options: AuditDirectoryOptions,
  platform: AuditPlatform = systemPlatform,
): Promise<AuditDirectory> {
  checkOptions('options', options, DIRECTORY_KEYS);
  const { fs, processes, crypto } = platform;
  const workerId = checkId('workerId', options.workerId);
  const secret = new RecordedSecret(checkToken('token', options.token));
  secret.refuseIn('workerId', workerId);
  const maxSegmentBytes = checkInteger(
    'maxSegmentBytes',
    options.maxSegmentBytes ?? MAX_SEGMENT_BYTES,
    MIN_SEGMENT_BYTES,
    MAX_SEGMENT_BYTES,
  );
  if (typeof options.dir !== 'string' || options.dir === '') throw invalidInput('dir', 'must be a path');
  const given = resolve(options.dir);
  const trustOwner = checkTrustOwner(options.trustOwner);
  const { logId, verifierKey: line } = options;
  const expected = await expectedLog(crypto, {
    workerId,
    logId,
    verifierKey: line,
  });
  const dir = await writing(() => ownDirectory(fs, given, trustOwner));
  const keyFile = options.keyFile ?? defaultKeyFile(workerId);
  const signer = await openKeyFile(keyFile, {
    logDirectory: dir,
    mustExist: expected.logId !== null,
    trustOwner,
  });
  checkExpectedKey(expected, signer);
  const lock = await writing(() => acquireLock(fs, dir, processes));
  const prepared = await undone(lock, async () => {
    const context = {
      ...platform,
      dir,
      token: options.token,
      workerId,
      signer,
      expectedLogId: expected.logId,
    };
    const survey = await writing(async () => {
      const found = await surveyLog(context);
      if (options.verifyAll === true)
        await verifyWhole(context, found, logOrigin(workerId, found.state.logId));
      return found;
    });
    const tornFile = await writing(() => repairLog(fs, dir, survey));
    const chain = new Chain(crypto, survey.state, maxSegmentBytes);
    const directory = new LockedSink(new DirectorySink(fs, dir, survey.segment), lock);
    const sinks = [directory, ...(options.sinks ?? [])];
    const { checkpointedSize } = survey;
    const log = new AuditLog({ crypto, chain, sinks, signer, secret, checkpointedSize }, options);
    return { dir, log, signer, survey, tornFile };
  });
  return await start(prepared, crypto);
}

/** Runs the steps before the log owns the lock, and releases the lock if they fail. */
async function undone<T>(lock: WriterLock, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    await lock.release();
    throw error;
  }
}

/**
 * Makes the directory if it does not exist, and returns its path without links. Errors: INVALID_INPUT where others can
 * write there.
 */
async function ownDirectory(fs: AuditFileSystem, path: string, trustOwner: number | null): Promise<string> {
  // Checked before anything is created there, and again afterwards.
  await refuseUnsafe(path, trustOwner);
  await fs.makeDirectory(path);
  const real = await realpath(path);
  await refuseUnsafe(path, trustOwner);
  if (real !== path) await refuseUnsafe(real, trustOwner);
  return real;
}

async function refuseUnsafe(path: string, trustOwner: number | null): Promise<void> {
  const fault = await directoryFault(path, trustOwner);
  if (fault !== null) throw invalidInput('dir', `is not safe to keep a log in: it ${fault}`);
}

interface Prepared {
  readonly dir: string;
  /** A sink that releases the lock on close. */
  readonly log: AuditLog;
  readonly signer: Signer;
  readonly survey: Survey;
  readonly tornFile: string | null;
}

async function start(
  { dir, log, signer, survey, tornFile }: Prepared,
  crypto: CryptoProvider,
): Promise<AuditDirectory> {
  const { state } = survey;
  const { workerId, logId } = state;
  const resumed = state.tree.end > 0;
  const recordsPastCheckpoint = state.tree.end - survey.checkpointedSize;
  try {
    await log.record('audit.opened', await openedData(crypto, workerId, logId, signer, resumed));
    if (!survey.closed) {
      await log.record(
        'audit.recovered',
        recoveredData({
          reason: 'unclean-stop',
          tornBytes: survey.torn?.bytes ?? 0,
          tornFile,
          newlineAdded: survey.newlineMissing,
          recordsPastCheckpoint,
        }),
      );
    }
    await log.head();
  } catch (error) {
    await log.abandon();
    throw error;
  }
  const origin = logOrigin(workerId, logId);
  return {
    observer: log,
    log,
    dir,
    origin,
    signerPublicKey: signer.publicKey,
    verifierKey: formatVerifierKey(await verifierKey(crypto, origin, signer.publicKey)),
    head: (wait) => log.head(wait),
    flush: (wait) => log.flush(wait),
    close: (wait) => log.close(wait),
  };
}

/**
 * The directory's sink with the writer's lock. Closing the log releases the lock, also where the manager closes it as
 * one of its observers, but not before a hanging write has ended.
 */
class LockedSink implements AuditSink {
  readonly name: string;
  readonly #sink: AuditSink;
  readonly #lock: WriterLock;

  constructor(sink: AuditSink, lock: WriterLock) {
    this.name = sink.name;
    this.#sink = sink;
    this.#lock = lock;
  }

  append(group: AuditGroup): Promise<void> {
    return this.#sink.append(group);
  }

  sync(): Promise<void> {
    return this.#sink.sync();
  }

  checkpoint(checkpoint: SignedCheckpoint): Promise<void> {
    return this.#sink.checkpoint(checkpoint);
  }

  async close(): Promise<void> {
    try {
      await this.#sink.close();
    } finally {
      await this.#lock.release();
    }
  }
}

/** Converts system errors to AUDIT_FAILED; passes errors of the library on. */
async function writing<T>(action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw isVramError(error) ? error : auditFailed('the audit log cannot be opened', error);
  }
}
