/**
 * The library in pages.
 * @module vram-residency/browser
 */
import * as openTelemetry from '@opentelemetry/api';
import {
  type AttestationCheck,
  type AttestationReport,
  verifyAttestation as verify,
} from './attest/index.js';
import { VramError } from './base/index.js';
import { hostBackendOnFirstCall, webgpuBackend } from './device/index.js';
import { createPortableEngine } from './digest/index.js';
import type { Observer } from './events/index.js';
import { VramManager as Manager, type ManagerOptions, type Platform } from './manager/index.js';
import { takingTurns } from './page/index.js';
import { activeTraceparent, telemetryObserver as observe, type TelemetryOptions } from './telemetry/index.js';
import { webCrypto } from './web/index.js';

export * from './core-exports.js';
export { adoptGpuDevice } from './device/index.js';
export {
  type AuditFile,
  auditFiles,
  blobSource,
  type CacheEntry,
  type CacheOutcome,
  type DigestPort,
  type DigestWorkersOptions,
  digestWorkers,
  type NotStored,
  type OpfsAuditLog,
  type OpfsAuditOptions,
  OpfsAuditSink,
  OpfsCache,
  type OpfsCacheOptions,
  opfsAuditLogs,
  type SealFromUrlOptions,
  sealFromUrl,
  serveDigests,
  type UrlSeal,
  type WorkerLike,
} from './page/index.js';
export { type AuditOptions, auditObserver } from './page-audit.js';
export { generateSigner } from './web/index.js';

/**
 * Checks the JSON text of an attestation: signature, form, nonce, age, digest. It proves that the holder of the key said so
 * after seeing the nonce, no more.
 * Errors: INVALID_INPUT (the options), SEAL_VERIFICATION_FAILED (the attestation, its nonce or its age), SOURCE_MISMATCH
 * (other bytes than expected).
 */
export function verifyAttestation(text: string, check: AttestationCheck): Promise<AttestationReport> {
  return verify(webCrypto, text, check);
}

/** Spans and metrics of every operation, through the OpenTelemetry API only. Errors: INVALID_INPUT for an unknown option. */
export function telemetryObserver(options: TelemetryOptions = {}): Observer {
  return observe(openTelemetry, options);
}

/** Keeps weights sealed in device memory; see its methods. */
export interface VramManager extends Manager {}

async function pageGpu(): Promise<GPU> {
  // Absent in older browsers and outside secure contexts, whatever the types say.
  const gpu: GPU | undefined = navigator.gpu;
  if (gpu === undefined) {
    throw new VramError(
      'DEVICE_UNAVAILABLE',
      'this page has no WebGPU: use a current browser, over https or from localhost',
    );
  }
  return gpu;
}

/** The host device hashes with the manager's engine: in workers where that does, and also without WebAssembly SIMD. */
function pagePlatform(options: ManagerOptions): Platform {
  return {
    backends: () => [
      webgpuBackend({
        gpu: pageGpu,
        adviceWithoutAdapter: 'switch on hardware acceleration or update the GPU driver',
      }),
      hostBackendOnFirstCall({ engine: options.engine ?? takingTurns(createPortableEngine()) }),
    ],
    crypto: webCrypto,
    engine: () => takingTurns(createPortableEngine()),
    activeTraceparent,
    forceHost: false,
  };
}

export const VramManager = {
  /**
   * Opens a device and proves known answers on it, checks it against the policy, and derives the worker's keys from the
   * token, which is zeroed.
   * Errors: INVALID_INPUT, POLICY_VIOLATION, DEVICE_UNAVAILABLE, INSUFFICIENT_VRAM, AUDIT_FAILED.
   */
  open(options: ManagerOptions): Promise<VramManager> {
    return Manager.open(options, pagePlatform(options));
  },
};
