import {
  type AttestationCheck,
  type AttestationReport,
  verifyAttestation as verify,
} from './attest/index.js';
import { VramManager as Manager, type ManagerOptions } from './manager/index.js';
import { nodeCrypto } from './node/crypto.js';
import { nodePlatform } from './node/platform.js';

export * from './core-exports.js';
export { type AttestationKeyOptions, openAttestationKey } from './node/attestation-key.js';
export {
  type AuditDirectory,
  type AuditDirectoryOptions,
  auditVerifierKey,
  type ExportReport,
  exportTiles,
  openAuditDirectory,
  type ProveAuditOptions,
  type PruneAuditOptions,
  type PruneReport,
  proveAudit,
  pruneAudit,
  type ShowAuditOptions,
  showAudit,
  type VerifyAuditOptions,
  verifyAudit,
  verifyProof,
} from './node/audit/index.js';
export { type FileSource, fileSource } from './node/file-source.js';
export {
  loadExpected,
  type Model,
  type ModelShard,
  type OpenModelOptions,
  openModel,
  openShard,
} from './node/model-files.js';
export { pinoSink, prettySink, type TextTarget } from './node/narration.js';

/**
 * Checks the JSON text of an attestation: signature, form, nonce, age, digest. It proves that the holder of the key said so after seeing the nonce, no more.
 * Errors: INVALID_INPUT (the options), SEAL_VERIFICATION_FAILED (the attestation, its nonce or its age), SOURCE_MISMATCH (other bytes than expected).
 */
export function verifyAttestation(text: string, check: AttestationCheck): Promise<AttestationReport> {
  return verify(nodeCrypto, text, check);
}

/** Keeps weights sealed in device memory; see its methods. */
export type VramManager = Manager;

export const VramManager = {
  /**
   * Opens a device and proves known answers on it, checks it against the policy, and derives the worker's keys from the token, which is zeroed.
   * Errors: INVALID_INPUT, POLICY_VIOLATION, DEVICE_UNAVAILABLE, INSUFFICIENT_VRAM, AUDIT_FAILED.
   */
  async open(options: ManagerOptions): Promise<VramManager> {
    return await Manager.open(options, nodePlatform());
  },
};
