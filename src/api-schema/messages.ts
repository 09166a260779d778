import type { WorkerErrorCode } from './codes.js';

/** `lost`: the device is lost. `failed`: the manager stopped itself, for instance by its policy. */
export type WorkerState = 'starting' | 'empty' | 'ready' | 'draining' | 'stopped' | 'lost' | 'failed';

/** Where a model's bytes come from: below a configured root, or from an allowed host. */
export type ModelOrigin =
  | {
      /** Absolute. */
      readonly path: string;
    }
  | { readonly url: string };

/** `POST /v1/plan`: for a model, or for so many bytes. */
export interface PlanRequest {
  readonly model?: ModelOrigin | undefined;
  /** Instead of a model: bytes of one shard. */
  readonly byteLength?: number | undefined;
}

/** Whether there is room for a model now. */
export interface Plan {
  readonly feasible: boolean;
  /** Why not; null where it is. */
  readonly reason: string | null;
  /** Requested device bytes, as far as known before they are taken. */
  readonly bytes: number;
  readonly shards: number;
  /** Holds the bytes against other plans of this worker, not against other programs on the GPU. */
  readonly reservationId: string | null;
  readonly expiresInMs: number | null;
  /** Which run of the worker answers: random at every start. */
  readonly instance: string;
}

/** Which part of a tensor-parallel set a model is; from 0. */
export interface ModelPart {
  readonly index: number;
  readonly of: number;
}

/** `POST /v1/models`: the model to load, from a path or a URL. */
export type CommitRequest = ModelOrigin & {
  /** 1 to 128 of [A-Za-z0-9._-], beginning with a letter or digit. */
  readonly name: string;
  /** `sha256:HEX` or `fsverity-sha256-12:HEX`, one for every file in order. */
  readonly expected?: readonly string[] | undefined;
  /** `device`: the host only copies; every file needs its fsverity digest in `expected`. */
  readonly hashing?: 'host' | 'device' | undefined;
  readonly format?: 'auto' | 'safetensors' | 'gguf' | 'onnx' | 'raw' | undefined;
  readonly part?: ModelPart | undefined;
  /**
   * `tensors`: each tensor begins a block, and on WebGPU a buffer of its own, which an ONNX model needs to be executed in
   * the worker. Default `files`.
   */
  readonly layout?: 'files' | 'tensors' | undefined;
  /** Seal into memory that other processes can map (CUDA), and offer it on the share socket. Default false. */
  readonly share?: boolean | undefined;
  readonly reservationId?: string | undefined;
};

/** `damaged`: at least one shard is in quarantine. */
export type ModelState = 'loading' | 'ready' | 'damaged' | 'failed' | 'releasing';

/** Consecutive blocks of 4096 bytes of a shard, from 0. */
export interface BlockRange {
  readonly firstBlock: number;
  readonly blocks: number;
}

/** One sealed shard of a model. */
export interface ShardView {
  readonly shardId: string;
  readonly sealId: string;
  /** The file's name. */
  readonly label: string;
  readonly byteLength: number;
  readonly sha256: string | null;
  readonly fsverity: string;
  readonly sealedAt: string;
  readonly quarantined: boolean;
  /** Where damage lies, once found; at most 64 ranges. Whole groups of 128 blocks where single ones are not known. */
  readonly damaged: readonly BlockRange[];
  /** When its latest good verification began; RFC 3339, or null. */
  readonly lastVerifiedAt: string | null;
  readonly lastScrubbedAt: string | null;
}

/** How far a load has come, in bytes of the model. */
export interface LoadProgress {
  readonly bytes: number;
  readonly totalBytes: number;
}

/** Why something failed. */
export interface FailureView {
  readonly code: WorkerErrorCode;
  readonly detail: string;
}

/** `GET /v1/models/{name}`. */
export interface ModelView {
  readonly name: string;
  /** Counts up with every commit under this name, from 1. */
  readonly generation: number;
  readonly state: ModelState;
  readonly byteLength: number;
  readonly layout: 'files' | 'tensors';
  /** Whether other processes can lease it. */
  readonly shared: boolean;
  readonly part: ModelPart | null;
  readonly shards: readonly ShardView[];
  /** While it is being loaded. */
  readonly progress: LoadProgress | null;
  /** Why the load failed. */
  readonly failure: FailureView | null;
  /** A newer generation that is being loaded, or failed to. The one above serves meanwhile. */
  readonly next: {
    readonly generation: number;
    readonly progress: LoadProgress | null;
    readonly failure: FailureView | null;
  } | null;
}

/** `GET /v1/models`. */
export interface ModelList {
  readonly models: readonly ModelView[];
}

/** A load that has begun. */
export interface Committed {
  readonly name: string;
  readonly generation: number;
  readonly instance: string;
  /** Server-sent events of the load. */
  readonly events: string;
}

/** What verifying or healing found of one shard. */
export interface ShardOutcome {
  readonly shardId: string;
  readonly label: string;
  readonly ok: boolean;
  readonly fsverity: string | null;
  readonly durationMs: number | null;
  /** Verifying: damaged blocks found. Healing: blocks healed. */
  readonly blocks: number;
  readonly failure: FailureView | null;
}

/** What verifying or healing found of a model. */
export interface ModelOutcome {
  readonly name: string;
  readonly generation: number;
  readonly ok: boolean;
  readonly shards: readonly ShardOutcome[];
}

/** `POST /v1/models/{name}/attest`. */
export interface AttestRequest {
  /** 16 to 64 bytes of the asker's own, as 32 to 128 hex digits. */
  readonly nonce: string;
}

/** Attestations of the shards of a model. */
export interface Attested {
  readonly name: string;
  readonly generation: number;
  /** DSSE envelopes over in-toto statements, one a shard. */
  readonly attestations: readonly unknown[];
}

/** `POST /v1/models/{name}/drill`. */
export interface DrillRequest {
  /** Of the model's shards, in order; default 0. */
  readonly shard?: number | undefined;
  /** Bits to flip, from 1 to 1024; default 1. */
  readonly flips?: number | undefined;
  /** From 0 to 2^32 - 1: the same seed flips the same bits. Random if absent. */
  readonly seed?: number | undefined;
}

/** The result of a drill. The worker learns of the damage only by its own verification. */
export interface Drilled {
  readonly name: string;
  readonly generation: number;
  readonly shardId: string;
  readonly seed: number;
  /** Numbers of the damaged blocks of 4096 bytes, ascending. */
  readonly blocks: readonly number[];
}

/** `POST /v1/drain`. */
export interface DrainRequest {
  /** Neither waits nor wipes: the process that comes next may want what is left. Without it, shards are wiped. */
  readonly keep?: boolean | undefined;
}

/** `GET /v1/status`. */
export interface WorkerStatus {
  readonly version: string;
  readonly workerId: string;
  readonly instance: string;
  readonly state: WorkerState;
  /** Why it is not ready; null where it is. */
  readonly reason: string | null;
  readonly startedAt: string;
  readonly device: {
    readonly id: string;
    readonly name: string;
    readonly uuid: string | null;
    readonly residency: string;
    readonly residencyReason: string;
    readonly execution: string;
  };
  readonly policy: string;
  /** Bytes; null where neither the platform nor a budget gives a figure. */
  readonly capacity: {
    readonly totalBytes: number | null;
    readonly usedBytes: number;
    readonly scratchBytes: number;
    readonly availableBytes: number | null;
    readonly reservedBytes: number;
  };
  readonly reservations: number;
  /** That have not ended. */
  readonly executions: { readonly queued: number; readonly running: number };
  /** Memory that other processes map; null without a share socket. */
  readonly share: { readonly models: readonly string[]; readonly leases: number } | null;
  /** Of the newest event as this was answered: a reader that follows the events from here misses none. */
  readonly lastEventId: number;
  readonly models: readonly ModelView[];
}

/** An event of `GET /v1/events`. */
export interface WorkerEvent {
  /** Counts up from 1 in each instance. */
  readonly id: number;
  /** RFC 3339. */
  readonly at: string;
  readonly type:
    | 'worker.state'
    | 'model.loading'
    | 'model.progress'
    | 'model.ready'
    | 'model.failed'
    | 'model.replaced'
    | 'model.released'
    | 'shard.damaged'
    | 'damage.located'
    | 'shard.healed'
    | 'heal.failed'
    | 'scrub.finished'
    | 'drill.injected';
  readonly model: string | null;
  readonly generation: number | null;
  readonly shardId: string | null;
  readonly data: Readonly<Record<string, string | number | boolean | null>>;
}
