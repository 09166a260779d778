import type { AuditHeadProvider } from '../attest/index.js';
import type { CryptoProvider, Signer } from '../crypto.js';
import type { Backend, Device } from '../device/index.js';
import type { DigestEngine } from '../digest/index.js';
import type { Observer, VerifyMode } from '../events.js';
import type { Policy } from '../policy/index.js';
import type { Source } from '../source/types.js';
import type { Clock } from './clock.js';
import type { FailureReaction, KeptLevel } from './core.js';
import type { TraceOptions } from './operation.js';

/** What the portable core needs of the platform it runs on. The entries fill it in. */
export interface Platform {
  /** In the order in which `auto` tries them. */
  readonly backends: () => readonly Backend[];
  readonly crypto: CryptoProvider;
  readonly engine: () => DigestEngine | Promise<DigestEngine>;
  /** Mock mode: only the host device may be opened, marked as an override. */
  readonly forceHost: boolean;
  /** The W3C traceparent of the caller's active span, for callers who pass none. */
  readonly activeTraceparent?: () => string | null;
}

export interface ManagerOptions extends TraceOptions {
  /** `auto` (default), `cuda:N`, `webgpu:N`, `host`, or an open device, which is not closed with the manager. */
  readonly device?: string | Device;
  /** This worker's name in seals and records: 1 to 256 of [A-Za-z0-9_-]. Part of the key. */
  readonly workerId: string;
  /** At least 16 bytes, not all zero; overwritten with zeros once the keys are derived. Without one the key lives as long as the process. */
  readonly token?: Uint8Array;
  /** Residency classes accepted; default `vram-only`. */
  readonly policy?: Policy;
  /** Device bytes that shards and verification scratch may take together. Default: what the device has free. */
  readonly budgetBytes?: number;
  /** Largest shard; default 100 GiB. */
  readonly maxShardBytes?: number;
  /** Told of everything, flushed and closed with the manager. */
  readonly observers?: readonly Observer[];
  /** What damaged bytes do besides putting their shard into quarantine; default `quarantine`, which is nothing more. */
  readonly onVerificationFailure?: FailureReaction;
  /** Which hashes are kept to localise damage; default `groups`. */
  readonly keep?: KeptLevel;
  /** Allows deliberate damage. Never in production. */
  readonly drills?: boolean;
  /** Signs attestations; never the key of the audit log's checkpoints. Without one attest() is refused. */
  readonly attestationKey?: Signer;
  /** Gives the audit log's head for attestations: `head` of an open audit log. Without one they say that there was no log. */
  readonly auditHead?: AuditHeadProvider;
  /** Bytes hashed in one run on the device; see OpenOptions. */
  readonly windowBytes?: number;
  readonly clock?: Clock;
  /** Not closed with the manager. */
  readonly engine?: DigestEngine;
}

export interface Progress {
  /** `load`: read, hashed and uploaded. `verify`: hashed in device memory. `readback`: brought back and hashed. */
  readonly phase: 'load' | 'verify' | 'readback';
  readonly bytes: number;
  readonly totalBytes: number;
}

/** Common to operations that take time. */
export interface OperationOptions extends TraceOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

export interface SealOptions extends OperationOptions {
  /** 1 to 256 of [A-Za-z0-9_-], unique among live shards; made from 16 random bytes if absent. */
  readonly shardId?: string;
  /** `sha256:HEX` or `fsverity-sha256-12:HEX`, or several: what the source must have. */
  readonly expected?: string | readonly string[];
  /** Default both; `['fsverity']` leaves the serial flat hash out. */
  readonly digests?: readonly ('sha256' | 'fsverity')[];
  /** At most 1024 bytes: which model this belongs to. */
  readonly modelRef?: string;
  /** Of a tensor-parallel set, together with modelRef and totalShards (at most 1024); from 0. */
  readonly shardIndex?: number;
  readonly totalShards?: number;
  /** Opens the source again, for a scrubber that heals; closed after use. */
  readonly reopen?: () => Promise<Source>;
}

export interface VerifyOptions extends OperationOptions {
  /**
   * `resident` (default): hashed in place. `readback`: copied to the host and hashed there. `sampled`: some groups, drawn at random, hashed in place; it never counts
   * as a verification for execute().
   */
  readonly mode?: VerifyMode;
  /** `sampled`: how many groups of 512 KiB are drawn; all of them if there are fewer. */
  readonly groups?: number;
  /** Helps to name damaged blocks exactly where only group hashes are kept. */
  readonly source?: Source;
}

export interface ReleaseReport {
  /** False if it had been released before. */
  readonly released: boolean;
  readonly freedBytes: number;
  /** Whether the memory was overwritten with zeros first; not possible on a lost device. */
  readonly wiped: boolean;
  /** False if a required observer could not take it; see ManagerStatus.unrecordedReleases. */
  readonly recorded: boolean;
}
