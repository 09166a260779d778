import {
  type AttestationCheck,
  type AttestationReport,
  verifyAttestation as verify,
} from './attest/index.js';
import { type AuditLog, type AuditObserverOptions, auditObserver as openLog } from './audit/index.js';
import { VramManager as Manager, type ManagerOptions } from './manager/index.js';
import { nodeCrypto } from './node/index.js';
import { nodePlatform } from './node-platform.js';

export * from './core-exports.js';
export {
  type LeaseView,
  openShareServer,
  type ShareLimitOptions,
  type ShareServer,
  type ShareServerOptions,
} from './handover/index.js';
export {
  type AttestationKeyOptions,
  type AuditDirectory,
  type AuditDirectoryOptions,
  auditVerifierKey,
  type ExportOptions,
  type ExportReport,
  exportTiles,
  type FileSource,
  fileSource,
  loadExpected,
  type Model,
  type ModelFile,
  type ModelShard,
  type OpenModelOptions,
  openAttestationKey,
  openAuditDirectory,
  openModel,
  openShard,
  type ProveAuditOptions,
  type PruneAuditOptions,
  type PruneReport,
  pinoSink,
  prettySink,
  proveAudit,
  pruneAudit,
  type ShowAuditOptions,
  showAudit,
  type TextTarget,
  type VerifierKeyOptions,
  type VerifyAuditOptions,
  verifyAudit,
  verifyProof,
} from './node/index.js';

/**
 * Checks the JSON text of an attestation: signature, form, nonce, age, digest. It proves that the holder of the key said so
 * after seeing the nonce, no more.
 * Errors: INVALID_INPUT (the options), SEAL_VERIFICATION_FAILED (the attestation, its nonce or its age), SOURCE_MISMATCH
 * (other bytes than expected).
 */
export function verifyAttestation(text: string, check: AttestationCheck): Promise<AttestationReport> {
  return verify(nodeCrypto, text, check);
}

/** What auditObserver takes. */
export type AuditOptions = Omit<AuditObserverOptions, 'crypto'>;

/**
 * A new audit log over a sink of the caller's own, such as a MemorySink, opened: its first record is written. Give it to a
 * manager as an observer, which closes it. Its keys are derived from `token` before the promise resolves; the caller
 * zeroes the token then.
 * Errors: INVALID_INPUT, AUDIT_FAILED.
 */
export function auditObserver(options: AuditOptions): Promise<AuditLog> {
  return openLog({ ...options, crypto: nodeCrypto });
}

/** Keeps weights sealed in device memory; see its methods. */
export type VramManager = Manager;

export const VramManager = {
  /**
   * Opens a device and proves known answers on it, checks it against the policy, and derives the worker's keys from the
   * token, which is zeroed.
   * Errors: INVALID_INPUT, POLICY_VIOLATION, DEVICE_UNAVAILABLE, INSUFFICIENT_VRAM, AUDIT_FAILED.
   */
  async open(options: ManagerOptions): Promise<VramManager> {
    return await Manager.open(options, nodePlatform());
  },
};
