// An audit log in a directory: its lock, its files, its recovery after a crash, its tools.
import type { AuditRecord } from '../../audit/index.js';
import { onFirstCall } from '../on-first-call.js';
import type { AuditPlatform } from './directory.js';
import type { ShowAuditOptions } from './show.js';

export type { AuditDirectory, AuditDirectoryOptions, AuditPlatform } from './directory.js';
export type { ProveAuditOptions } from './prove.js';
export type { PruneAuditOptions, PruneReport } from './prune.js';
export { DEFAULT_RETENTION_DAYS } from './retention.js';
export type { ShowAuditOptions } from './show.js';
export type { ExportOptions, ExportReport } from './tiles.js';
export type { VerifierKeyOptions, VerifyAuditOptions } from './verify.js';

/**
 * Opens a log directory for writing: takes the lock, reads the newest segment, repairs what a crash left, and records
 * that it was opened.
 * Errors: INVALID_INPUT (options, another worker's log, key file), AUDIT_FAILED (another writer, a failing disk),
 * AUDIT_CORRUPT (damage that no crash leaves, or not the expected log; nothing is changed).
 */
export const openAuditDirectory = onFirstCall(
  async () => (await import('./directory.js')).openAuditDirectory,
);

/**
 * Verifies a log directory: the chain with the token, the tree always, signatures with the worker's public key (or,
 * given the token alone, with the one that the log's own authenticated records name). Streams; memory does not grow
 * with the log.
 * Errors: INVALID_INPUT (options), AUDIT_FAILED (the files cannot be read). A bad log is a report with `ok: false`.
 */
export const verifyAudit = onFirstCall(async () => (await import('./verify.js')).verifyAudit);

/**
 * The verifier key line of a log, from the worker's key file. Errors: INVALID_INPUT where there is no key or no
 * checkpoint, or where the key did not sign it.
 */
export const auditVerifierKey = onFirstCall(async () => (await import('./verify.js')).auditVerifierKey);

/**
 * The records of a log in order, unverified (`verifyAudit` verifies them).
 * Errors: INVALID_INPUT.
 */
export async function* showAudit(
  dir: string,
  options?: ShowAuditOptions,
  platform?: AuditPlatform,
): AsyncGenerator<AuditRecord, void, undefined> {
  const show = await import('./show.js');
  yield* show.showAudit(dir, options, platform);
}

/**
 * A proof against the log's newest checkpoint, to be checked with the public key alone (`verifyProof`).
 * Errors: INVALID_INPUT (no such record under the checkpoint, a pruned one, a checkpoint of another log),
 * AUDIT_CORRUPT (the records are not those of the checkpoint).
 */
export const proveAudit = onFirstCall(async () => (await import('./prove.js')).proveAudit);

/** Checks a proof's text with a verifier key line; reads nothing else. Errors: INVALID_INPUT. */
export const verifyProof = onFirstCall(async () => (await import('./prove.js')).verifyProof);

/**
 * Removes whole segments from the front of a log. The log is verified first; then the leaf hashes of the removed records
 * are stored, a record of the removal is written and signed, and only then are files removed. Pruning again completes an
 * interrupted run.
 * Errors: INVALID_INPUT, AUDIT_CORRUPT (the log does not verify), AUDIT_FAILED (a writer has it open; the disk
 * fails).
 */
export const pruneAudit = onFirstCall(async () => (await import('./prune.js')).pruneAudit);

/**
 * Writes the log as C2SP tlog-tiles (`checkpoint`, `tile/<L>/<N>`, `tile/entries/<N>`) into `target`, for stock
 * transparency tools. The checkpoint is written last, after everything that it covers.
 * Errors: INVALID_INPUT, AUDIT_FAILED (cannot be read or written), AUDIT_CORRUPT (the records are not those of the
 * checkpoint).
 */
export const exportTiles = onFirstCall(async () => (await import('./tiles.js')).exportTiles);

/** The checkpoint file's text, or null where there is none. Bytes that are not UTF-8 are replaced, and will not parse. */
export const readCheckpointFile = onFirstCall(async () => (await import('./layout.js')).readCheckpointFile);
