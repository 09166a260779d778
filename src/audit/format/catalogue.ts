import type { DamagedRange, JsonValue } from '../../base/index.js';
import type { EventOf, EventType, OperationEvent } from '../../events/index.js';

/** CRITICAL records are on stable storage before their operation returns (AU-003). */
export type AuditSeverity = 'CRITICAL' | 'HIGH' | 'MEDIUM';

/** The fields of one record's `data`; all present, absent values null. */
export type AuditData = { readonly [field: string]: JsonValue };

/** Removes the worker's own token from text (AU-006). */
export type Clean = (value: string) => string;

const asItIs: Clean = (value) => value;

interface OperationEntry<T extends EventType> {
  readonly severity: AuditSeverity;
  /** The fields of this type, besides those of every operation. */
  readonly data: (event: EventOf<T>, clean: Clean) => AuditData;
  /** Further fields of records about tensors; null for plain bytes, whose records keep their earlier form. */
  readonly tensorData?: (event: EventOf<T>, clean: Clean) => AuditData | null;
}

/** The operation events that are recorded; all others are not. */
export type AuditedEventType = Extract<
  EventType,
  | 'vram.sealed'
  | 'seal.verified'
  | 'seal.verification_failed'
  | 'vram.allocated'
  | 'vram.allocation_failed'
  | 'vram.deallocated'
  | 'policy.violation'
  | 'shard.quarantined'
  | 'damage.located'
  | 'shard.healed'
  | 'heal.failed'
  | 'device.lost'
  | 'device.open_failed'
  | 'shard.attested'
  | 'shard.lent'
  | 'lease.revoked'
  | 'lease.ended'
  | 'guard.claimed'
  | 'manager.stopped'
  | 'drill.injected'
>;

/** Records of the log about itself. */
export type LogEventType =
  | 'handles.refused'
  | 'audit.opened'
  | 'audit.recovered'
  | 'audit.pruned'
  | 'audit.closed';

/** The type of a record: of an event, or about the log itself. */
export type AuditType = AuditedEventType | LogEventType;

/**
 * Ranges named in one record; the count of all stands beside them. Keeps a line under the 65,535 bytes of a tlog-tiles
 * entry.
 */
export const MAX_RANGES = 64;
/** Names of tensors in one record, for the same reason. */
export const MAX_TENSORS = 16;
const MAX_TEXT = 1024;

/** How events become records. An event of another type is not recorded. */
const OPERATIONS = {
  'vram.sealed': {
    severity: 'CRITICAL',
    data: (event, clean) => ({
      sealId: text(event.sealId, clean),
      byteLength: integer(event.byteLength),
      sha256: optionalText(event.sha256, clean),
      fsverity: text(event.fsverity, clean),
      residency: text(event.residency, clean),
      immutability: text(event.immutability, clean),
      sealedAt: text(event.sealedAt, clean),
      shardIndex: integer(event.shardIndex),
      totalShards: integer(event.totalShards),
    }),
    tensorData: ({ packed }, clean) =>
      packed === null
        ? null
        : {
            manifestSha256: text(packed.manifestSha256, clean),
            tensorCount: integer(packed.tensors),
            fileCount: integer(packed.files),
            buffers: integer(packed.buffers),
            paddingBytes: integer(packed.paddingBytes),
          },
  },
  'seal.verified': {
    severity: 'HIGH',
    data: (event, clean) => ({
      sealId: text(event.sealId, clean),
      mode: event.mode,
      byteLength: integer(event.byteLength),
      fsverity: text(event.fsverity, clean),
    }),
  },
  'seal.verification_failed': {
    severity: 'CRITICAL',
    data: (event, clean) => ({
      sealId: optionalText(event.sealId, clean),
      mode: event.mode,
      reason: text(event.error.message, clean),
      errorCode: event.error.code,
      expectedDigest: optionalText(event.expectedDigest, clean),
      actualDigest: optionalText(event.actualDigest, clean),
      transient: event.transient,
      damaged: event.damaged === null ? null : ranges(event.damaged),
      damagedRanges: event.damaged?.length ?? null,
      damagedGroups: integer(event.damagedGroups),
    }),
    tensorData: ({ damaged }, clean) => damagedTensors(damaged ?? [], clean),
  },
  'vram.allocated': {
    severity: 'MEDIUM',
    data: (event) => ({
      requestedBytes: integer(event.requestedBytes),
      allocatedBytes: integer(event.allocatedBytes),
      usedBytes: integer(event.usedBytes),
      availableBytes: integer(event.availableBytes),
    }),
  },
  'vram.allocation_failed': {
    severity: 'MEDIUM',
    data: (event, clean) => ({
      requestedBytes: integer(event.requestedBytes),
      usedBytes: integer(event.usedBytes),
      availableBytes: integer(event.availableBytes),
      reason: text(event.error.message, clean),
      errorCode: event.error.code,
    }),
  },
  'vram.deallocated': {
    severity: 'MEDIUM',
    data: (event, clean) => ({
      freedBytes: integer(event.freedBytes),
      remainingBytes: integer(event.usedBytes),
      availableBytes: integer(event.availableBytes),
      wiped: event.wiped,
      reason: optionalText(event.error?.message, clean),
      errorCode: event.error?.code ?? null,
    }),
  },
  'policy.violation': {
    severity: 'CRITICAL',
    data: (event, clean) => ({
      policy: text(event.policy, clean),
      residency: text(event.residency, clean),
      violation: text(event.violation, clean),
      action: event.action,
    }),
  },
  'shard.quarantined': {
    severity: 'CRITICAL',
    data: (event, clean) => ({
      sealId: text(event.sealId, clean),
      reason: text(event.reason, clean),
      leasesRevoked: integer(event.leasesRevoked),
    }),
  },
  'damage.located': {
    severity: 'CRITICAL',
    data: (event, clean) => ({
      sealId: text(event.sealId, clean),
      damaged: ranges(event.damaged),
      damagedRanges: event.damaged.length,
      damagedGroups: integer(event.damagedGroups),
      exact: event.exact,
      reason: optionalText(event.error?.message, clean),
      errorCode: event.error?.code ?? null,
    }),
    tensorData: ({ damaged }, clean) => damagedTensors(damaged, clean),
  },
  'shard.healed': {
    severity: 'HIGH',
    data: (event, clean) => ({
      sealId: text(event.sealId, clean),
      healedBlocks: integer(event.healedBlocks),
      healed: ranges(event.healed),
      healedRanges: event.healed.length,
      source: text(event.source, clean),
    }),
    tensorData: ({ healed }, clean) => damagedTensors(healed, clean),
  },
  'heal.failed': {
    severity: 'HIGH',
    data: (event, clean) => ({
      sealId: text(event.sealId, clean),
      reason: text(event.error.message, clean),
      errorCode: event.error.code,
    }),
  },
  'device.lost': {
    severity: 'CRITICAL',
    data: (event, clean) => ({ reason: text(event.reason, clean), shards: integer(event.shards) }),
  },
  'device.open_failed': {
    severity: 'HIGH',
    data: (event, clean) => ({
      requested: text(event.requested, clean),
      reason: text(event.error.message, clean),
      errorCode: event.error.code,
    }),
  },
  'shard.attested': {
    severity: 'HIGH',
    data: (event, clean) => ({ sealId: text(event.sealId, clean), nonce: text(event.nonce, clean) }),
  },
  'shard.lent': {
    severity: 'CRITICAL',
    data: (event, clean) => ({
      ...lease(event, clean),
      sealId: text(event.sealId, clean),
      mappedBytes: integer(event.mappedBytes),
    }),
  },
  'lease.revoked': {
    severity: 'HIGH',
    data: (event, clean) => ({ ...lease(event, clean), shards: integer(event.shards), reason: event.reason }),
  },
  'lease.ended': {
    severity: 'MEDIUM',
    data: (event, clean) => ({ ...lease(event, clean), shards: integer(event.shards), how: event.how }),
  },
  'guard.claimed': {
    severity: 'HIGH',
    data: (event, clean) => ({
      guardId: text(event.guardId, clean),
      model: text(event.model, clean),
      pid: integer(event.pid),
      uid: integer(event.uid),
      client: text(event.client, clean),
      manifestSha256: text(event.manifestSha256, clean),
      outcome: optionalText(event.outcome, clean),
      against: optionalText(event.against, clean),
      damagedBlocks: integer(event.damagedBlocks),
    }),
  },
  'manager.stopped': {
    severity: 'CRITICAL',
    data: (event, clean) => ({ reason: text(event.reason, clean) }),
  },
  'drill.injected': {
    severity: 'CRITICAL',
    data: (event, clean) => ({
      sealId: text(event.sealId, clean),
      byte: integer(event.byte),
      bit: integer(event.bit),
    }),
    tensorData: ({ tensor, byteInTensor, padding }, clean) =>
      tensor === undefined || byteInTensor === undefined
        ? null
        : { tensor: text(tensor, clean), byteInTensor: integer(byteInTensor), padding: padding === true },
  },
} satisfies { readonly [T in AuditedEventType]: OperationEntry<T> };

const LOG_EVENTS = {
  'handles.refused': { severity: 'CRITICAL' },
  'audit.opened': { severity: 'HIGH' },
  'audit.recovered': { severity: 'CRITICAL' },
  'audit.pruned': { severity: 'CRITICAL' },
  'audit.closed': { severity: 'HIGH' },
} satisfies { readonly [T in LogEventType]: { readonly severity: AuditSeverity } };

/** The severity of every type of record. */
export const AUDIT_CATALOGUE: { readonly [T in AuditType]: { readonly severity: AuditSeverity } } = {
  ...OPERATIONS,
  ...LOG_EVENTS,
};

type Entries = typeof OPERATIONS;
type FieldsOf<F> = F extends (...given: never[]) => infer D ? keyof NonNullable<D> & string : never;

/** The fields of an event's record. */
export type FieldOf<T extends AuditedEventType> = FieldsOf<Entries[T]['data']>;

/** The fields that only records about tensors have. */
export type TensorFieldOf<T extends AuditedEventType> = Entries[T] extends { readonly tensorData: infer F }
  ? FieldsOf<F>
  : never;

/** The fields that the records of all operations have. */
export type CommonField = keyof ReturnType<typeof commonData>;

/** All types, in the order of the documentation. */
export const AUDIT_TYPES: readonly AuditType[] = [
  'vram.sealed',
  'seal.verified',
  'seal.verification_failed',
  'vram.allocated',
  'vram.allocation_failed',
  'vram.deallocated',
  'policy.violation',
  'shard.quarantined',
  'damage.located',
  'shard.healed',
  'heal.failed',
  'device.lost',
  'device.open_failed',
  'shard.attested',
  'shard.lent',
  'lease.revoked',
  'lease.ended',
  'guard.claimed',
  'manager.stopped',
  'drill.injected',
  'handles.refused',
  'audit.opened',
  'audit.recovered',
  'audit.pruned',
  'audit.closed',
];

export type AuditedEvent = Extract<OperationEvent, { readonly type: AuditedEventType }>;

/** True for the events that become records. */
export function isAudited(event: OperationEvent): event is AuditedEvent {
  return Object.hasOwn(OPERATIONS, event.type);
}

/** The same, for an event whose type is not known before. */
const ENTRIES: { readonly [T in AuditedEventType]: OperationEntry<T> } = OPERATIONS;

/** The `data` of an event's record. */
export function auditData<T extends AuditedEventType>(event: EventOf<T>, clean: Clean = asItIs): AuditData {
  const entry: OperationEntry<T> = ENTRIES[event.type];
  return {
    ...commonData(event, clean),
    ...entry.data(event, clean),
    ...entry.tensorData?.(event, clean),
  };
}

function commonData(event: EventOf<EventType>, clean: Clean) {
  const { device } = event;
  return {
    operation: event.operation,
    operationId: text(event.operationId, clean),
    shardId: optionalText(event.shardId, clean),
    modelRef: optionalText(event.modelRef, clean),
    device:
      device === null
        ? null
        : {
            id: text(device.id, clean),
            name: text(device.name, clean),
            uuid: optionalText(device.uuid, clean),
            residency: text(device.residency, clean),
            emulated: device.emulated,
          },
  };
}

/**
 * Untrusted text made safe for a record: bounded, well-formed, and without anything that looks like an address (AU-006,
 * MS-001). Events already guarantee this; it is enforced again here because a record cannot be withdrawn.
 */
export function text(given: string, clean: Clean): string {
  const value = clean(given);
  if (value.length <= MAX_TEXT && !SUSPECT.test(value)) return value;
  const bounded = value.length > MAX_TEXT ? `${value.slice(0, MAX_TEXT - 1)}\u2026` : value;
  return bounded.replace(/\p{Surrogate}/gu, '\ufffd').replace(/0x[0-9a-f]{6,}/gi, '[address]');
}

/** Surrogates, paired or not, and the start of an address: most text has neither and needs no further checks. */
const SUSPECT = /[\ud800-\udfff]|0x/i;

function optionalText(value: string | null | undefined, clean: Clean): string | null {
  return value === null || value === undefined ? null : text(value, clean);
}

/** Canonical JSON holds only safe integers; anything else would make the event unrecordable, so it becomes null. */
function integer(value: number | null): number | null {
  return value !== null && Number.isSafeInteger(value) ? value + 0 : null;
}

function lease(
  { leaseId, pid, uid, client }: EventOf<'shard.lent' | 'lease.revoked' | 'lease.ended'>,
  clean: Clean,
) {
  return { leaseId: text(leaseId, clean), pid: integer(pid), uid: integer(uid), client: text(client, clean) };
}

function ranges(all: readonly DamagedRange[]): JsonValue {
  return all.slice(0, MAX_RANGES).map(({ firstBlock, blocks }) => ({
    firstBlock: integer(firstBlock),
    blocks: integer(blocks),
  }));
}

function damagedTensors(all: readonly DamagedRange[], clean: Clean) {
  const names = [...new Set(all.flatMap(({ tensor }) => (tensor === undefined ? [] : [tensor])))];
  if (names.length === 0) return null;
  return { tensors: names.slice(0, MAX_TENSORS).map((name) => text(name, clean)), tensorCount: names.length };
}
