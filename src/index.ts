/**
 * The library in Node.
 * @module vram-residency
 */
import type { AttestationCheck, AttestationReport } from './attest/index.js';
import type { AuditLog, AuditObserverOptions } from './audit/index.js';
import type { AdapterFacts, Device, OpenOptions } from './device/index.js';
import type { Observer } from './events/index.js';
import type { ShareServer, ShareServerOptions } from './handover/index.js';
import type { VramManager as Manager, ManagerOptions } from './manager/index.js';
import { nodeCrypto, openTelemetry } from './node/index.js';
import { telemetryObserver as observe, type TelemetryOptions } from './telemetry/index.js';

// What a program may never ask for is loaded when it is first called: docs/decisions/bundle.md.

export type {
  AuditReport,
  ConsistencyDocument,
  InclusionDocument,
  OnCheckpoint,
  ProofReport,
} from './audit/index.js';
export * from './core-exports.js';
export type {
  LeaseState,
  LeaseView,
  ShareLimitOptions,
  ShareServer,
  ShareServerOptions,
} from './handover/index.js';
export {
  type AttestationKeyOptions,
  type AuditDirectory,
  type AuditDirectoryOptions,
  type AuditPlatform,
  auditVerifierKey,
  type ExportOptions,
  type ExportReport,
  exportTiles,
  type FileSource,
  fileSource,
  loadExpected,
  type Model,
  type ModelFile,
  type ModelFormat,
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
  type SourceFacts,
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
export async function verifyAttestation(text: string, check: AttestationCheck): Promise<AttestationReport> {
  const { verifyAttestation: verify } = await import('./attest/index.js');
  return await verify(nodeCrypto, text, check);
}

/** What auditObserver takes. */
export type AuditOptions = Omit<AuditObserverOptions, 'crypto'>;

/**
 * A new audit log over a sink of the caller's own, such as a MemorySink, opened: its first record is written. Give it to a
 * manager as an observer, which closes it. Its keys are derived from `token` before the promise resolves; the caller
 * zeroes the token then.
 * Errors: INVALID_INPUT, AUDIT_FAILED.
 */
export async function auditObserver(options: AuditOptions): Promise<AuditLog> {
  const { auditObserver: openLog } = await import('./audit/index.js');
  return await openLog({ ...options, crypto: nodeCrypto });
}

/** Spans and metrics of every operation, through the OpenTelemetry API only. Errors: INVALID_INPUT for an unknown option. */
export function telemetryObserver(options: TelemetryOptions = {}): Observer {
  return observe(openTelemetry(), options);
}

/**
 * Lends shards that were sealed with `share` to other processes on this host, which map their memory. Close the server
 * before its manager. Errors: INVALID_INPUT that names the option, DEVICE_UNAVAILABLE where the addon is missing.
 */
export async function openShareServer(manager: Manager, options: ShareServerOptions): Promise<ShareServer> {
  const handover = await import('./handover/index.js');
  return await handover.openShareServer(manager, options);
}

/**
 * A device over the caller's own GPUDevice, for `VramManager.open({ device })`: an engine that has one shares it with the
 * sealed weights. It stays the caller's: close() wipes and frees what was made on it and does not destroy it, and a
 * manager that was given it does not close it. Its limits bound the shards: ask for `maxBufferSize` and
 * `maxStorageBufferBindingSize` as large as the adapter has them.
 *
 * Until close() its owner must not destroy it, for every shard is then lost, and must not push or pop error scopes while a
 * call of the manager is under way: a device has one stack of them, and the manager's own are on it.
 *
 * What the platform says of the device's adapter counts; `adapterInfo` is for platforms that say nothing
 * (GPUDevice.adapterInfo is young). A device without any description counts as one that runs on the CPU.
 *
 * Errors: INVALID_INPUT, DEVICE_UNAVAILABLE (its known answers were wrong, CI-011), DEVICE_LOST.
 */
export async function adoptGpuDevice(
  device: GPUDevice,
  adapterInfo: AdapterFacts = {},
  options: OpenOptions = {},
): Promise<Device> {
  const devices = await import('./device/index.js');
  return await devices.adoptGpuDevice(device, adapterInfo, options);
}

/** Keeps weights sealed in device memory; see its methods. */
export interface VramManager extends Manager {}

export const VramManager = {
  /**
   * Opens a device and proves known answers on it, checks it against the policy, and derives the worker's keys from the
   * token, which is zeroed.
   * Errors: INVALID_INPUT, POLICY_VIOLATION, DEVICE_UNAVAILABLE, INSUFFICIENT_VRAM, AUDIT_FAILED.
   */
  async open(options: ManagerOptions): Promise<VramManager> {
    const [{ VramManager: Manager }, { nodePlatform }] = await Promise.all([
      import('./manager/index.js'),
      import('./node-platform.js'),
    ]);
    return await Manager.open(options, nodePlatform());
  },
};
