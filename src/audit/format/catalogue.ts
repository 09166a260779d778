import type { DamagedRange, JsonValue } from '../../base/index.js';
import type { EventOf, EventType, OperationEvent } from '../../events/index.js';

/** CRITICAL records are on stable storage before their operation returns (AU-003). */
export type AuditSeverity = 'CRITICAL' | 'HIGH' | 'MEDIUM';

/** The fields of one record's `data`; all present, absent values null. */
export type AuditData = { readonly [field: string]: JsonValue };

/** One type of record: its meaning, its severity, and the meaning of each field of `data`. */
export interface CatalogueEntry {
  readonly severity: AuditSeverity;
  readonly summary: string;
  readonly fields: Readonly<Record<string, string>>;
  /** Further fields, only in records about tensors: records about plain bytes keep their earlier form. */
  readonly tensorFields?: Readonly<Record<string, string>>;
}

/** Removes the worker's own token from text (AU-006). */
export type Clean = (value: string) => string;

const asItIs: Clean = (value) => value;

interface OperationEntry<T extends EventType> extends CatalogueEntry {
  readonly data: (event: EventOf<T>, clean: Clean) => AuditData;
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
const MAX_RANGES = 64;
/** Names of tensors in one record, for the same reason. */
const MAX_TENSORS = 16;
const MAX_TEXT = 1024;

/** Which tensors ranges of blocks are in. */
const DAMAGED_TENSORS = {
  tensors: `names of the tensors that these blocks are in, at most ${MAX_TENSORS}`,
  tensorCount: 'number of all of them',
} as const;

/** In every record of a lease. */
const LEASE_FIELDS = {
  leaseId: '16 random bytes that name the lease, hex',
  pid: 'process that holds it, or null for one of another PID namespace',
  uid: 'user id of that process, by the kernel',
  client: "the process's name for itself",
} as const;

/** In every record of an operation. */
export const AUDIT_COMMON_FIELDS = {
  operation: 'the operation of the manager',
  operationId: 'joins the records of one operation',
  shardId: 'the shard, or null where there is none yet',
  modelRef: "the caller's name for the model, or null",
  device: '{id, name, uuid, residency, emulated}, or null before a device is open',
} as const;

/** Fields that only some records of a type have: `data` gives null for the others. */
interface TensorPart<T extends EventType> {
  readonly tensorFields: Readonly<Record<string, string>>;
  readonly tensorData: (event: EventOf<T>, clean: Clean) => AuditData | null;
}

function ofTensors<T extends EventType, F extends string>(
  tensorFields: Readonly<Record<F, string>>,
  tensorData: (event: EventOf<T>, clean: Clean) => Readonly<Record<F, JsonValue>> | null,
): TensorPart<T> {
  return { tensorFields, tensorData };
}

function entry<T extends EventType, F extends string>(
  severity: AuditSeverity,
  summary: string,
  fields: Readonly<Record<F, string>>,
  data: (event: EventOf<T>, clean: Clean) => Readonly<Record<F, JsonValue>>,
  tensors?: TensorPart<T>,
): OperationEntry<T> {
  return {
    severity,
    summary,
    fields: { ...AUDIT_COMMON_FIELDS, ...fields },
    ...(tensors === undefined ? {} : { tensorFields: tensors.tensorFields }),
    data: (event, clean) => ({
      ...commonData(event, clean),
      ...data(event, clean),
      ...tensors?.tensorData(event, clean),
    }),
  };
}

const OPERATIONS: { readonly [T in AuditedEventType]: OperationEntry<T> } = {
  'vram.sealed': entry(
    'CRITICAL',
    'A shard was sealed: its bytes are resident, hashed in place, and signed.',
    {
      sealId: 'names this sealing',
      byteLength: 'size of the shard, bytes',
      sha256: 'flat SHA-256 of the stream that was sealed, or null',
      fsverity: 'fs-verity digest of the resident bytes',
      residency: 'class of the memory it lives in',
      immutability: 'how it is protected from writes',
      sealedAt: 'time inside the seal',
      shardIndex: 'position among the shards of a model, or null',
      totalShards: 'number of shards of the model, or null',
    },
    (event, clean) => ({
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
    ofTensors(
      {
        manifestSha256: 'SHA-256 of the manifest that says where the tensors lie',
        tensorCount: 'number of tensors',
        fileCount: 'number of published files they were packed from',
        buffers: 'number of buffers they were laid out for',
        paddingBytes: 'zeros between and behind the tensors, bytes',
      },
      ({ packed }, clean) =>
        packed === null
          ? null
          : {
              manifestSha256: text(packed.manifestSha256, clean),
              tensorCount: integer(packed.tensors),
              fileCount: integer(packed.files),
              buffers: integer(packed.buffers),
              paddingBytes: integer(packed.paddingBytes),
            },
    ),
  ),
  'seal.verified': entry(
    'HIGH',
    'The resident bytes are as sealed; with mode sampled, a sample of them is, which verifies nothing.',
    {
      sealId: 'names the sealing',
      mode: 'resident (in place), readback or sampled',
      byteLength: 'size of the shard, bytes',
      fsverity: 'digest that was sealed; re-proved unless the mode is sampled',
    },
    (event, clean) => ({
      sealId: text(event.sealId, clean),
      mode: event.mode,
      byteLength: integer(event.byteLength),
      fsverity: text(event.fsverity, clean),
    }),
  ),
  'seal.verification_failed': entry(
    'CRITICAL',
    'A seal or a handle did not verify.',
    {
      sealId: 'names the sealing, or null for a handle that names none',
      mode: 'resident (in place), readback or sampled',
      reason: 'why, in words',
      errorCode: 'why, for programs',
      expectedDigest: 'digest that was sealed, or null',
      actualDigest: 'digest that was found, or null',
      transient: 'true where a repetition did not show it again',
      damaged:
        `ranges of damaged 4096-byte blocks, at most ${MAX_RANGES}: [{firstBlock, blocks}]; null where ` +
        `\`damage.located\` tells them`,
      damagedRanges: 'number of all damaged ranges, or null',
      damagedGroups: 'number of damaged groups of 128 blocks, or null',
    },
    (event, clean) => ({
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
    ofTensors(DAMAGED_TENSORS, ({ damaged }, clean) => damagedTensors(damaged ?? [], clean)),
  ),
  'vram.allocated': entry(
    'MEDIUM',
    'Device memory was allocated for a shard.',
    {
      requestedBytes: 'bytes requested',
      allocatedBytes: 'bytes taken',
      usedBytes: 'bytes in use afterwards',
      availableBytes: 'bytes still free afterwards, or null where the device does not report it',
    },
    (event) => ({
      requestedBytes: integer(event.requestedBytes),
      allocatedBytes: integer(event.allocatedBytes),
      usedBytes: integer(event.usedBytes),
      availableBytes: integer(event.availableBytes),
    }),
  ),
  'vram.allocation_failed': entry(
    'MEDIUM',
    'An allocation of device memory failed.',
    {
      requestedBytes: 'bytes requested',
      usedBytes: 'bytes in use',
      availableBytes: 'bytes free, or null where the device does not report it',
      reason: 'why, in words',
      errorCode: 'why, for programs',
    },
    (event, clean) => ({
      requestedBytes: integer(event.requestedBytes),
      usedBytes: integer(event.usedBytes),
      availableBytes: integer(event.availableBytes),
      reason: text(event.error.message, clean),
      errorCode: event.error.code,
    }),
  ),
  'vram.deallocated': entry(
    'MEDIUM',
    'Device memory was freed (RP-005).',
    {
      freedBytes: 'bytes freed',
      remainingBytes: 'bytes still in use afterwards',
      availableBytes:
        'bytes of the budget free afterwards, or null without a budget: the device is not queried',
      wiped: 'true where it was overwritten with zeros first',
      reason: 'what went wrong, or null',
      errorCode: 'what went wrong, for programs, or null',
    },
    (event, clean) => ({
      freedBytes: integer(event.freedBytes),
      remainingBytes: integer(event.usedBytes),
      availableBytes: integer(event.availableBytes),
      wiped: event.wiped,
      reason: optionalText(event.error?.message, clean),
      errorCode: event.error?.code ?? null,
    }),
  ),
  'policy.violation': entry(
    'CRITICAL',
    'Weights would have lived where the policy forbids it.',
    {
      policy: 'the policy in force',
      residency: 'class of memory that was found',
      violation: 'what was violated, in words',
      action: 'what was done about it: refused or stopped',
    },
    (event, clean) => ({
      policy: text(event.policy, clean),
      residency: text(event.residency, clean),
      violation: text(event.violation, clean),
      action: event.action,
    }),
  ),
  'shard.quarantined': entry(
    'CRITICAL',
    'Resident bytes are damaged: nothing runs on the shard until it is healed or released.',
    { sealId: 'names the sealing', reason: 'why, in words', leasesRevoked: 'running uses that were ended' },
    (event, clean) => ({
      sealId: text(event.sealId, clean),
      reason: text(event.reason, clean),
      leasesRevoked: integer(event.leasesRevoked),
    }),
  ),
  'damage.located': entry(
    'CRITICAL',
    'The place of the damage that put a shard into quarantine, as far as the device could locate it.',
    {
      sealId: 'names the sealing',
      damaged: `ranges of damaged 4096-byte blocks, at most ${MAX_RANGES}: [{firstBlock, blocks}]`,
      damagedRanges: 'number of all damaged ranges',
      damagedGroups: 'number of damaged groups of 128 blocks',
      exact: 'true where the ranges name single blocks, false where they name whole groups',
      reason: 'why no place was found, or null',
      errorCode: 'why no place was found, for programs, or null',
    },
    (event, clean) => ({
      sealId: text(event.sealId, clean),
      damaged: ranges(event.damaged),
      damagedRanges: event.damaged.length,
      damagedGroups: integer(event.damagedGroups),
      exact: event.exact,
      reason: optionalText(event.error?.message, clean),
      errorCode: event.error?.code ?? null,
    }),
    ofTensors(DAMAGED_TENSORS, ({ damaged }, clean) => damagedTensors(damaged, clean)),
  ),
  'shard.healed': entry(
    'HIGH',
    'Damaged blocks were replaced from the source and verified again.',
    {
      sealId: 'names the sealing',
      healedBlocks: 'number of 4096-byte blocks replaced',
      healed: `the ranges, at most ${MAX_RANGES}: [{firstBlock, blocks}]`,
      healedRanges: 'number of all ranges',
      source: 'where the good bytes came from',
    },
    (event, clean) => ({
      sealId: text(event.sealId, clean),
      healedBlocks: integer(event.healedBlocks),
      healed: ranges(event.healed),
      healedRanges: event.healed.length,
      source: text(event.source, clean),
    }),
    ofTensors(DAMAGED_TENSORS, ({ healed }, clean) => damagedTensors(healed, clean)),
  ),
  'heal.failed': entry(
    'HIGH',
    'Damaged blocks were not replaced: the shard stays as it was.',
    { sealId: 'names the sealing', reason: 'why, in words', errorCode: 'why, for programs' },
    (event, clean) => ({
      sealId: text(event.sealId, clean),
      reason: text(event.error.message, clean),
      errorCode: event.error.code,
    }),
  ),
  'device.lost': entry(
    'CRITICAL',
    'The device was lost, and with it every seal on it.',
    { reason: 'why, in words', shards: 'shards whose seals are void' },
    (event, clean) => ({ reason: text(event.reason, clean), shards: integer(event.shards) }),
  ),
  'device.open_failed': entry(
    'HIGH',
    'A device was requested, or tried by `auto`, and could not be opened; or `auto` met a driver that does not load ' +
      '(`requested` is its kind alone).',
    {
      requested: 'the requested device',
      reason: 'why, in words',
      errorCode: 'why, for programs',
    },
    (event, clean) => ({
      requested: text(event.requested, clean),
      reason: text(event.error.message, clean),
      errorCode: event.error.code,
    }),
  ),
  'shard.attested': entry(
    'HIGH',
    'A signed statement about a shard was issued.',
    { sealId: 'names the sealing', nonce: 'the nonce of the request' },
    (event, clean) => ({ sealId: text(event.sealId, clean), nonce: text(event.nonce, clean) }),
  ),
  'shard.lent': entry(
    'CRITICAL',
    'Another process is about to receive the memory of a shard and can then map it with any rights.',
    { ...LEASE_FIELDS, sealId: 'names the sealing', mappedBytes: 'bytes it can map' },
    (event, clean) => ({
      ...lease(event, clean),
      sealId: text(event.sealId, clean),
      mappedBytes: integer(event.mappedBytes),
    }),
  ),
  'lease.revoked': entry(
    'HIGH',
    'A process was ordered to release the shards of its lease.',
    {
      ...LEASE_FIELDS,
      shards: 'number of shards of the lease',
      reason: 'damaged, released, replaced, stopped or device-lost',
    },
    (event, clean) => ({ ...lease(event, clean), shards: integer(event.shards), reason: event.reason }),
  ),
  'lease.ended': entry(
    'MEDIUM',
    'A process no longer holds the shards of its lease.',
    {
      ...LEASE_FIELDS,
      shards: 'number of shards of the lease',
      how:
        'end (it said so), closed (it closed the connection, or died), or cut (it broke the protocol, or its ' +
        'socket failed)',
    },
    (event, clean) => ({ ...lease(event, clean), shards: integer(event.shards), how: event.how }),
  ),
  'guard.claimed': entry(
    'HIGH',
    'A guard in another process registered, or reported on weights that it watches itself: its claim, which is not checked.',
    {
      guardId: '16 random bytes that name the guard, hex',
      model: "the process's name for the model",
      pid: 'the process that it named as its own',
      uid: 'user id of that process, by the kernel',
      client: "the process's name for itself",
      manifestSha256: 'SHA-256 of the tensors of its manifest in canonical JSON, hex',
      outcome: 'clean, damaged, changed, transient, busy, suspended or unavailable; null where it registered',
      against: 'first-use or manifest; null where it registered',
      damagedBlocks: 'number of damaged blocks, or null',
    },
    (event, clean) => ({
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
  ),
  'manager.stopped': entry(
    'CRITICAL',
    'The manager stopped: no sealing and no execution from here on.',
    { reason: 'why, in words' },
    (event, clean) => ({ reason: text(event.reason, clean) }),
  ),
  'drill.injected': entry(
    'CRITICAL',
    'A drill is about to flip one bit of resident memory; written before the flip.',
    {
      sealId: 'names the sealing',
      byte: 'offset in the shard, bytes',
      bit: 'bit of that byte, 0 to 7',
    },
    (event, clean) => ({
      sealId: text(event.sealId, clean),
      byte: integer(event.byte),
      bit: integer(event.bit),
    }),
    ofTensors(
      {
        tensor: 'the tensor of that byte',
        byteInTensor: 'offset in that tensor, bytes',
        padding: 'true if the byte is one of the zeros behind that tensor',
      },
      ({ tensor, byteInTensor, padding }, clean) =>
        tensor === undefined || byteInTensor === undefined
          ? null
          : { tensor: text(tensor, clean), byteInTensor: integer(byteInTensor), padding: padding === true },
    ),
  ),
};

const LOG_EVENTS: { readonly [T in LogEventType]: CatalogueEntry } = {
  'handles.refused': {
    severity: 'CRITICAL',
    summary:
      'Handles were refused within a second of one that has its own `seal.verification_failed`: they share this record.',
    fields: {
      refused: 'number of handles',
      forged: 'of these, not signed by this worker, or changed',
      malformed: 'of these, without a signature',
      stale: 'of these, genuine, and of a shard that is not live',
      since: 'time of the first',
      until: 'time of the last',
    },
  },
  'audit.opened': {
    severity: 'HIGH',
    summary: 'The log was opened for writing. Record 0 of every log is one.',
    fields: {
      logId: '16 random bytes that name the log, hex',
      origin: 'origin line of its checkpoints',
      verifierKey: 'C2SP verifier key of its checkpoints, or null where none are signed',
      resumed: 'false in record 0, true afterwards',
    },
  },
  'audit.recovered': {
    severity: 'CRITICAL',
    summary:
      'The log is continued after an end without closing, or after a time in which it could not be written.',
    fields: {
      reason: 'unclean-stop or write-failure',
      errorCode: "the system's code of the write failure, or null",
      tornBytes: 'bytes of an unfinished record that were removed',
      tornFile: 'where they were saved, or null',
      newlineAdded: 'true where the last record lacked only its newline',
      recordsPastCheckpoint: 'valid records found after the last checkpoint',
      unrecordedEvents:
        'events that found the queue full while writing failed, and are not in the log unless emitted again',
      unrecordedReleases: 'how many of these freed device memory',
    },
  },
  'audit.pruned': {
    severity: 'CRITICAL',
    summary: 'Old segments are about to be removed; written before they are. Their leaf hashes stay.',
    fields: {
      before: 'segments whose records are all older than this date',
      retentionDays: 'the retention in force, days',
      removedSegments: 'number of segments',
      removedRecords: 'number of records',
      firstKeptSeq: 'sequence number of the first record kept',
      firstKeptEpoch: 'epoch of the first record kept',
      prev: 'prev of the first record kept',
    },
  },
  'audit.closed': {
    severity: 'HIGH',
    summary: 'The log was closed in order; everything before is on stable storage.',
    fields: { records: 'number of records up to and with this one' },
  },
};

/** Every type of record. Records, documentation and tests are derived from it. */
export const AUDIT_CATALOGUE: { readonly [T in AuditType]: CatalogueEntry } = {
  ...OPERATIONS,
  ...LOG_EVENTS,
};

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

/** The `data` of an event's record. */
export function auditData<T extends AuditedEventType>(event: EventOf<T>, clean: Clean = asItIs): AuditData {
  return OPERATIONS[event.type].data(event, clean);
}

function commonData(
  event: EventOf<EventType>,
  clean: Clean,
): Record<keyof typeof AUDIT_COMMON_FIELDS, JsonValue> {
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
): Record<keyof typeof LEASE_FIELDS, JsonValue> {
  return { leaseId: text(leaseId, clean), pid: integer(pid), uid: integer(uid), client: text(client, clean) };
}

function ranges(all: readonly DamagedRange[]): JsonValue {
  return all.slice(0, MAX_RANGES).map(({ firstBlock, blocks }) => ({
    firstBlock: integer(firstBlock),
    blocks: integer(blocks),
  }));
}

function damagedTensors(
  all: readonly DamagedRange[],
  clean: Clean,
): Readonly<Record<keyof typeof DAMAGED_TENSORS, JsonValue>> | null {
  const names = [...new Set(all.flatMap(({ tensor }) => (tensor === undefined ? [] : [tensor])))];
  if (names.length === 0) return null;
  return { tensors: names.slice(0, MAX_TENSORS).map((name) => text(name, clean)), tensorCount: names.length };
}
