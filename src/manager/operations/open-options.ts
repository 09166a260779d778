import type { AuditHeadProvider } from '../../attest/index.js';
import type { Clock, OptionKeys } from '../../base/index.js';
import type { CryptoProvider, Signer } from '../../crypto/index.js';
import type { Backend, BackendOptions, Device } from '../../device/index.js';
import type { DigestEngine } from '../../digest/index.js';
import { type Observer, TRACE_KEYS, type TraceOptions } from '../../events/index.js';
import type { Policy } from '../../policy/index.js';
import type { FailureReaction, RetainedLevel } from '../state/index.js';

/** What the portable core needs from its platform. The entries provide it. */
export interface Platform {
  /** In the order in which `auto` tries them. */
  readonly backends: (options: BackendOptions) => readonly Backend[];
  readonly crypto: CryptoProvider;
  readonly engine: () => DigestEngine | Promise<DigestEngine>;
  /** Mock mode: only the host device may be opened, marked as an override. */
  readonly forceHost: boolean;
  /** The W3C traceparent of the caller's active span, for callers who pass none. */
  readonly activeTraceparent?: () => string | null;
}

export interface ManagerOptions extends TraceOptions {
  /** `auto` (default), `cuda:N`, `webgpu:N`, `host`, or an open device (adoptGpuDevice), which stays open. */
  readonly device?: string | Device | undefined;
  /** This worker's name in seals and records: 1 to 256 of [A-Za-z0-9_-]. Part of the key. */
  readonly workerId: string;
  /**
   * At least 16 bytes, not all zero; overwritten with zeros once the keys are derived. Without one the key lives as long as
   * the
   * process.
   */
  readonly token?: Uint8Array | undefined;
  /** Residency classes accepted; default `vram-only`. */
  readonly policy?: Policy | undefined;
  /**
   * Absolute paths of NVIDIA driver files, or of folders, that are trusted besides those where systems keep their driver and
   * those that
   * root alone can write; at most 64. Without an entry here a driver from elsewhere is of class `unproven`.
   */
  readonly driverPaths?: readonly string[] | undefined;
  /**
   * Lets `vram-only` accept kernels other than those that ship (`VRAM_RESIDENCY_CUDA_KERNELS`): their results prove
   * nothing. Default false.
   */
  readonly allowReplacedKernels?: boolean | undefined;
  /** Device bytes that shards and verification scratch may take together. Default: the device's free memory. */
  readonly budgetBytes?: number | undefined;
  /** Largest shard; default 100 GiB. */
  readonly maxShardBytes?: number | undefined;
  /** Receive every event; flushed and closed with the manager. */
  readonly observers?: readonly Observer[] | undefined;
  /** The reaction to damaged bytes, whose shard is always put into quarantine; default `quarantine`: no further one. */
  readonly onVerificationFailure?: FailureReaction | undefined;
  /** Which hashes are retained to localise damage; default `groups`. */
  readonly keep?: RetainedLevel | undefined;
  /** Allows deliberate damage. Never in production. */
  readonly drills?: boolean | undefined;
  /** Signs attestations; never the key of the audit log's checkpoints. Without it attest() is refused. */
  readonly attestationKey?: Signer | undefined;
  /** The audit log's head for attestations: `head` of an open audit log. Without it they state that there was no log. */
  readonly auditHead?: AuditHeadProvider | undefined;
  /** Bytes hashed in one run on the device; see OpenOptions. */
  readonly windowBytes?: number | undefined;
  /**
   * Milliseconds that a source may deliver no byte, from 1 to 2^31 - 1; default 30,000. A range that healing
   * reads, at most 512 KiB, has to arrive as a whole within them. After that the operation fails with SOURCE_MISMATCH.
   */
  readonly stallMs?: number | undefined;
  /**
   * Milliseconds that an observer may take to answer for one event, its flush, its close, and `auditHead` to answer, from
   * 1 to 2^31 - 1; default 30,000. After that a required one has failed (AUDIT_FAILED); it still receives events but is
   * not waited for until it answers.
   */
  readonly observerMs?: number | undefined;
  /**
   * Milliseconds that `attestationKey` may take to sign, from 1 to 2^31 - 1; default 300,000: a person may have to touch it.
   */
  readonly signerMs?: number | undefined;
  readonly clock?: Clock | undefined;
  /** Not closed with the manager. */
  readonly engine?: DigestEngine | undefined;
}

// Does not compile unless it lists exactly the options of the interface.
export const MANAGER_KEYS = {
  ...TRACE_KEYS,
  device: true,
  workerId: true,
  token: true,
  policy: true,
  driverPaths: true,
  allowReplacedKernels: true,
  budgetBytes: true,
  maxShardBytes: true,
  observers: true,
  onVerificationFailure: true,
  keep: true,
  drills: true,
  attestationKey: true,
  auditHead: true,
  windowBytes: true,
  stallMs: true,
  observerMs: true,
  signerMs: true,
  clock: true,
  engine: true,
} satisfies OptionKeys<ManagerOptions>;
