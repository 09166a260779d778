import {
  type AuditedEventType,
  type AuditType,
  type CommonField,
  type FieldOf,
  type LogEventType,
  MAX_RANGES,
  MAX_TENSORS,
  type TensorFieldOf,
} from './catalogue.js';

// What records mean, for documents. A module of its own: nothing that writes or verifies a log needs these texts, and a
// page would load them.

type Described<F extends string> = Readonly<Record<F, string>>;

/** When a record is written, and the meaning of each field of its `data`. */
export interface RecordDescription<F extends string = string, M extends string = string> {
  readonly summary: string;
  readonly fields: Described<F>;
  /** Further fields, only in records about tensors: records about plain bytes keep their earlier form. */
  readonly tensorFields?: Described<M>;
}

type Descriptions = { readonly [T in AuditedEventType]: OfEvent<FieldOf<T>, TensorFieldOf<T>> } & {
  readonly [T in LogEventType]: RecordDescription;
};
type OfEvent<F extends string, M extends string> = RecordDescription<F, M> &
  ([M] extends [never] ? unknown : { readonly tensorFields: Described<M> });

/** In every record of an operation. */
export const AUDIT_COMMON_FIELDS: Described<CommonField> = {
  operation: 'the operation of the manager',
  operationId: 'joins the records of one operation',
  shardId: 'the shard, or null where there is none yet',
  modelRef: "the caller's name for the model, or null",
  device: '{id, name, uuid, residency, emulated}, or null before a device is open',
};

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

const BY_TYPE: Descriptions = {
  'vram.sealed': {
    summary: 'A shard was sealed: its bytes are resident, hashed in place, and signed.',
    fields: {
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
    tensorFields: {
      manifestSha256: 'SHA-256 of the manifest that says where the tensors lie',
      tensorCount: 'number of tensors',
      fileCount: 'number of published files they were packed from',
      buffers: 'number of buffers they were laid out for',
      paddingBytes: 'zeros between and behind the tensors, bytes',
    },
  },
  'seal.verified': {
    summary:
      'The resident bytes are as sealed; with mode sampled, a sample of them is, which verifies nothing.',
    fields: {
      sealId: 'names the sealing',
      mode: 'resident (in place), readback or sampled',
      byteLength: 'size of the shard, bytes',
      fsverity: 'digest that was sealed; re-proved unless the mode is sampled',
    },
  },
  'seal.verification_failed': {
    summary: 'A seal or a handle did not verify.',
    fields: {
      sealId: 'names the sealing, or null for a handle that names none',
      mode: 'resident (in place), readback or sampled',
      reason: 'why, in words',
      errorCode: 'why, for programs',
      expectedDigest: 'digest that was sealed, or null',
      actualDigest: 'digest that was found, or null',
      transient: 'true where a repetition did not show it again',
      damaged:
        `ranges of damaged 4096-byte blocks, at most ${MAX_RANGES}: [{firstBlock, blocks}]; null where ` +
        `\`damage.located\` lists them`,
      damagedRanges: 'number of all damaged ranges, or null',
      damagedGroups: 'number of damaged groups of 128 blocks, or null',
    },
    tensorFields: DAMAGED_TENSORS,
  },
  'vram.allocated': {
    summary: 'Device memory was allocated for a shard.',
    fields: {
      requestedBytes: 'bytes requested',
      allocatedBytes: 'bytes taken',
      usedBytes: 'bytes in use afterwards',
      availableBytes: 'bytes still free afterwards, or null where the device does not report it',
    },
  },
  'vram.allocation_failed': {
    summary: 'An allocation of device memory failed.',
    fields: {
      requestedBytes: 'bytes requested',
      usedBytes: 'bytes in use',
      availableBytes: 'bytes free, or null where the device does not report it',
      reason: 'why, in words',
      errorCode: 'why, for programs',
    },
  },
  'vram.deallocated': {
    summary: 'Device memory was freed (RP-005).',
    fields: {
      freedBytes: 'bytes freed',
      remainingBytes: 'bytes still in use afterwards',
      availableBytes:
        'bytes of the budget free afterwards, or null without a budget: the device is not queried',
      wiped: 'true where it was overwritten with zeros first',
      reason: 'what went wrong, or null',
      errorCode: 'what went wrong, for programs, or null',
    },
  },
  'policy.violation': {
    summary: 'Weights would have lived where the policy forbids it.',
    fields: {
      policy: 'the policy in force',
      residency: 'class of memory that was found',
      violation: 'what was violated, in words',
      action: 'what was done about it: refused or stopped',
    },
  },
  'shard.quarantined': {
    summary: 'Resident bytes are damaged: nothing runs on the shard until it is healed or released.',
    fields: {
      sealId: 'names the sealing',
      reason: 'why, in words',
      leasesRevoked: 'running uses that were ended',
    },
  },
  'damage.located': {
    summary:
      'The place of the damage that put a shard into quarantine, as far as the device could locate it.',
    fields: {
      sealId: 'names the sealing',
      damaged: `ranges of damaged 4096-byte blocks, at most ${MAX_RANGES}: [{firstBlock, blocks}]`,
      damagedRanges: 'number of all damaged ranges',
      damagedGroups: 'number of damaged groups of 128 blocks',
      exact: 'true where the ranges name single blocks, false where they name whole groups',
      reason: 'why no place was found, or null',
      errorCode: 'why no place was found, for programs, or null',
    },
    tensorFields: DAMAGED_TENSORS,
  },
  'shard.healed': {
    summary: 'Damaged blocks were replaced from the source and verified again.',
    fields: {
      sealId: 'names the sealing',
      healedBlocks: 'number of 4096-byte blocks replaced',
      healed: `the ranges, at most ${MAX_RANGES}: [{firstBlock, blocks}]`,
      healedRanges: 'number of all ranges',
      source: 'where the good bytes came from',
    },
    tensorFields: DAMAGED_TENSORS,
  },
  'heal.failed': {
    summary: 'Damaged blocks were not replaced: the shard stays as it was.',
    fields: { sealId: 'names the sealing', reason: 'why, in words', errorCode: 'why, for programs' },
  },
  'device.lost': {
    summary: 'The device was lost, and with it every seal on it.',
    fields: { reason: 'why, in words', shards: 'shards whose seals are void' },
  },
  'device.open_failed': {
    summary:
      'A device was requested, or tried by `auto`, and could not be opened; or `auto` met a driver that does not load ' +
      '(`requested` is its kind alone).',
    fields: {
      requested: 'the requested device',
      reason: 'why, in words',
      errorCode: 'why, for programs',
    },
  },
  'shard.attested': {
    summary: 'A signed statement about a shard was issued.',
    fields: { sealId: 'names the sealing', nonce: 'the nonce of the request' },
  },
  'shard.lent': {
    summary: 'Another process is about to receive the memory of a shard and can then map it with any rights.',
    fields: { ...LEASE_FIELDS, sealId: 'names the sealing', mappedBytes: 'bytes it can map' },
  },
  'lease.revoked': {
    summary: 'A process was ordered to release the shards of its lease.',
    fields: {
      ...LEASE_FIELDS,
      shards: 'number of shards of the lease',
      reason: 'damaged, released, replaced, stopped or device-lost',
    },
  },
  'lease.ended': {
    summary: 'A process no longer holds the shards of its lease.',
    fields: {
      ...LEASE_FIELDS,
      shards: 'number of shards of the lease',
      how:
        'end (it said so), closed (it closed the connection, or died), or cut (it broke the protocol, or its ' +
        'socket failed)',
    },
  },
  'guard.claimed': {
    summary:
      'A guard in another process registered, or reported on weights that it watches itself: its claim, which is ' +
      'not checked.',
    fields: {
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
  },
  'manager.stopped': {
    summary: 'The manager stopped: no sealing and no execution from here on.',
    fields: { reason: 'why, in words' },
  },
  'drill.injected': {
    summary: 'A drill is about to flip one bit of resident memory; written before the flip.',
    fields: {
      sealId: 'names the sealing',
      byte: 'offset in the shard, bytes',
      bit: 'bit of that byte, 0 to 7',
    },
    tensorFields: {
      tensor: 'the tensor of that byte',
      byteInTensor: 'offset in that tensor, bytes',
      padding: 'true if the byte is one of the zeros behind that tensor',
    },
  },
  'handles.refused': {
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
    summary: 'The log was opened for writing. Record 0 of every log is one.',
    fields: {
      logId: '16 random bytes that name the log, hex',
      origin: 'origin line of its checkpoints',
      verifierKey: 'C2SP verifier key of its checkpoints, or null where none are signed',
      resumed: 'false in record 0, true afterwards',
    },
  },
  'audit.recovered': {
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
    summary: 'The log was closed in order; everything before is on stable storage.',
    fields: { records: 'number of records up to and with this one' },
  },
};

/** By type of record; the compiler compares the fields of operations with what is written. */
export const AUDIT_DESCRIPTIONS: { readonly [T in AuditType]: RecordDescription } = BY_TYPE;
