import type { DamagedRange, ErrorCode, ErrorKind, FatalScope, VerifyMode } from '../base/index.js';

/** What the manager was asked to do. */
export type OperationName =
  | 'open'
  | 'seal'
  | 'verify'
  | 'execute'
  | 'heal'
  | 'scrub'
  | 'drill'
  | 'attest'
  | 'lend'
  | 'claim'
  | 'release'
  | 'capacity'
  | 'stop'
  | 'close';

/** These operations fail unless they can be recorded; the others go ahead and are recorded if possible (AU-005). */
export const FAIL_CLOSED: ReadonlySet<OperationName> = new Set([
  'open',
  'seal',
  'execute',
  'heal',
  'drill',
  'attest',
  'lend',
  'claim',
]);

/** Timed parts of an operation. */
export type StageName =
  | 'read'
  | 'hash'
  | 'upload'
  | 'freeze'
  | 'device-tree'
  | 'readback'
  | 'sign'
  | 'compare'
  | 'patch'
  | 'wipe'
  | 'run';

export interface EventDevice {
  /** `cuda:0`, `webgpu:0`, `host`. */
  readonly id: string;
  readonly name: string;
  readonly uuid: string | null;
  readonly residency: string;
  readonly emulated: boolean;
}

export interface EventError {
  readonly code: ErrorCode;
  readonly kind: ErrorKind;
  readonly scope: FatalScope | null;
  /** Free of addresses, keys, tokens and weight bytes. */
  readonly message: string;
}

/** Where and when, on every event. */
export interface EventContext {
  /** RFC 3339, UTC, milliseconds. */
  readonly at: string;
  /** Monotonic milliseconds of the manager's clock, for ordering and spans. */
  readonly monotonicMs: number;
  readonly workerId: string;
  readonly correlationId: string;
  /** W3C trace context of the caller, or null. */
  readonly traceparent: string | null;
  readonly operation: OperationName;
  /** Unique in this manager: joins the events of one operation. */
  readonly operationId: string;
  readonly device: EventDevice | null;
  readonly shardId: string | null;
  readonly modelRef: string | null;
  /** Duration of the work that the event reports; null where nothing was timed. */
  readonly durationMs: number | null;
}

/** How tensors were laid out. */
export interface SealedPacking {
  /** SHA-256 of the manifest, 64 hex digits: what the seal signs. */
  readonly manifestSha256: string;
  readonly tensors: number;
  readonly files: number;
  /** Number of buffers on a device that has them; elsewhere the shard is one mapping. */
  readonly buffers: number;
  /** Zeros between and behind the tensors. */
  readonly paddingBytes: number;
}

/** Why a process outside may no longer use a shard's memory. */
export type RevokeReason = 'damaged' | 'released' | 'replaced' | 'stopped' | 'device-lost';

/** Who holds a lease of shared memory. */
interface LeaseHolder {
  /** 16 random bytes, hex. */
  readonly leaseId: string;
  /** By the kernel; null where the process lives in another PID namespace. */
  readonly pid: number | null;
  readonly uid: number;
  /** The process's own name for itself: untrusted text, at most 128 bytes, no control characters. */
  readonly client: string;
}

/** What happened, by type. Sizes in bytes; digests in their written forms. */
export interface EventPayloads {
  'operation.started': Record<never, never>;
  'operation.finished': { readonly ok: boolean; readonly error: EventError | null };
  'operation.stage': {
    readonly stage: StageName;
    readonly startedMonotonicMs: number;
    readonly byteLength: number | null;
  };
  'manager.opened': {
    readonly policy: string;
    readonly policyAccepted: readonly string[];
    readonly keyKind: 'token' | 'ephemeral';
    readonly engine: string;
  };
  'device.opened': {
    readonly driver: string | null;
    readonly ecc: 'on' | 'off' | 'unknown';
    readonly totalBytes: number | null;
    readonly scratchBytes: number;
  };
  'device.open_failed': { readonly requested: string; readonly error: EventError };
  'device.lost': { readonly reason: string; readonly shards: number };
  'vram.allocated': {
    readonly requestedBytes: number;
    readonly allocatedBytes: number;
    readonly usedBytes: number;
    readonly availableBytes: number | null;
  };
  'vram.allocation_failed': {
    readonly requestedBytes: number;
    readonly usedBytes: number;
    readonly availableBytes: number | null;
    readonly error: EventError;
  };
  'vram.deallocated': {
    readonly freedBytes: number;
    readonly usedBytes: number;
    readonly availableBytes: number | null;
    readonly wiped: boolean;
    readonly error: EventError | null;
  };
  'digest.computed': {
    readonly where: 'host' | 'device';
    readonly byteLength: number;
    readonly sha256: string | null;
    readonly fsverity: string;
    readonly engine: string;
  };
  'signature.generated': { readonly sealId: string };
  'vram.sealed': {
    readonly sealId: string;
    readonly byteLength: number;
    readonly sha256: string | null;
    readonly fsverity: string;
    readonly residency: string;
    readonly immutability: string;
    readonly sealedAt: string;
    readonly shardIndex: number | null;
    readonly totalShards: number | null;
    /** Of tensors; null for a plain sequence of bytes. */
    readonly packed: SealedPacking | null;
  };
  'seal.verified': {
    readonly sealId: string;
    readonly mode: VerifyMode;
    readonly byteLength: number;
    readonly fsverity: string;
  };
  'seal.verification_failed': {
    readonly sealId: string | null;
    readonly mode: VerifyMode;
    readonly error: EventError;
    readonly expectedDigest: string | null;
    readonly actualDigest: string | null;
    readonly transient: boolean;
    /** Null where bytes are damaged: the verdict is reported at once, and `damage.located` follows. Empty where none are. */
    readonly damaged: readonly DamagedRange[] | null;
    readonly damagedGroups: number | null;
  };
  'policy.violation': {
    readonly policy: string;
    readonly residency: string;
    readonly violation: string;
    readonly action: 'refused' | 'stopped';
  };
  'validation.failed': { readonly argument: string | null; readonly error: EventError };
  'capacity.queried': {
    readonly totalBytes: number | null;
    readonly usedBytes: number;
    readonly availableBytes: number | null;
    readonly source: string;
  };
  'shard.quarantined': { readonly sealId: string; readonly reason: string; readonly leasesRevoked: number };
  /** Where a quarantined shard is damaged, as far as it could be located in place. */
  'damage.located': {
    readonly sealId: string;
    readonly damaged: readonly DamagedRange[];
    /** Of 128 blocks each. */
    readonly damagedGroups: number;
    /** Whether `damaged` names single blocks; else whole groups. */
    readonly exact: boolean;
    /** Why the damage could not be located, or null. */
    readonly error: EventError | null;
  };
  'shard.healed': {
    readonly sealId: string;
    readonly healedBlocks: number;
    readonly healed: readonly DamagedRange[];
    readonly source: string;
  };
  'heal.failed': { readonly sealId: string; readonly error: EventError };
  'execution.finished': {
    readonly sealId: string;
    readonly ok: boolean;
    readonly verifiedMs: number | null;
    readonly error: EventError | null;
  };
  'scrub.finished': { readonly sealId: string; readonly byteLength: number; readonly ok: boolean };
  'drill.injected': {
    readonly sealId: string;
    readonly byte: number;
    readonly bit: number;
    /**
     * Where the layout is `tensors`: the tensor, the byte counted from its first, and whether it is a zero behind its last.
     */
    readonly tensor?: string;
    readonly byteInTensor?: number;
    readonly padding?: boolean;
  };
  'shard.attested': { readonly sealId: string; readonly nonce: string };
  /** Before the descriptor of its memory is handed over. */
  'shard.lent': LeaseHolder & { readonly sealId: string; readonly mappedBytes: number };
  'lease.revoked': LeaseHolder & { readonly shards: number; readonly reason: RevokeReason };
  /**
   * `end`: the client ended the lease; `closed`: it closed the connection or died; `cut`: it violated the protocol, was
   * too slow, or its socket failed here.
   */
  'lease.ended': LeaseHolder & { readonly shards: number; readonly how: 'end' | 'closed' | 'cut' };
  /**
   * A guard in another process registered, or reported about weights that it watches itself. The report is unchecked and
   * changes no state here.
   */
  'guard.claimed': {
    readonly guardId: string;
    /** The process's name for the model. */
    readonly model: string;
    readonly pid: number;
    /** Of that process, as reported by the kernel. */
    readonly uid: number;
    readonly client: string;
    /** SHA-256 of the manifest's tensors, hex. */
    readonly manifestSha256: string;
    /** null where it registered. */
    readonly outcome: string | null;
    readonly against: string | null;
    readonly damagedBlocks: number | null;
  };
  'close.failed': {
    readonly what: 'source' | 'device' | 'engine';
    readonly name: string;
    readonly error: EventError;
  };
  'manager.stopped': { readonly reason: string };
  'manager.closed': { readonly shardsReleased: number };
}

/** The types of events. */
export type EventType = keyof EventPayloads;
/** The event of one type. */
export type EventOf<T extends EventType> = EventContext & { readonly type: T } & EventPayloads[T];
/** Everything that can happen, one typed union. */
export type OperationEvent = { [T in EventType]: EventOf<T> }[EventType];

/**
 * Receives every event, in order. The manager waits for a promise that `on` returns: an audit log returns one for
 * critical events (on disk before the operation returns) and when its queue is full; others return nothing.
 */
export interface Observer {
  readonly name: string;
  /** A failure of this observer fails seals and executions closed (AUDIT_FAILED). Failures of others are ignored. */
  readonly required: boolean;
  /** Takes an event. A promise is waited for, within a limit of time, and may reject. */
  on(event: OperationEvent): void | Promise<void>;
  /** Waits until every event so far is stored. */
  flush?(): Promise<void>;
  /** Called once, when the manager closes. */
  close?(): Promise<void>;
}
