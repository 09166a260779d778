import { fromHex } from '../../base/index.js';
import type { CryptoProvider, Mac } from '../../crypto/index.js';
import {
  type AuditRecord,
  CompactRange,
  dataText,
  leafHash,
  MAC_BYTES,
  MAX_LINE_BYTES,
  type ParsedLine,
  parseLine,
  parseStem,
  Scratch,
  splitLines,
} from '../format/index.js';

/** Why a record or a log is bad. */
export type AuditFault =
  | 'line-too-long'
  | 'not-json'
  | 'not-canonical'
  | 'bad-field'
  | 'wrong-worker'
  | 'wrong-sequence'
  | 'wrong-epoch'
  | 'wrong-prev'
  | 'bad-mac'
  | 'torn'
  | 'wrong-segment-name'
  | 'missing-segment'
  | 'retained-hashes'
  | 'unexplained-pruning'
  | 'checkpoint-missing'
  | 'checkpoint-unreadable'
  | 'checkpoint-origin'
  | 'checkpoint-signature'
  | 'root-mismatch'
  | 'truncated';

/** The first bad record. */
export interface BadRecord {
  /** Its sequence number, derived from its place; null where only a range of records is known. */
  readonly seq: number | null;
  /** The segment's file, without extension. */
  readonly segment: string | null;
  /** Byte offset in the segment. */
  readonly offset: number | null;
  readonly reason: AuditFault;
  readonly message: string;
}

/** One segment to verify, with its expected start. */
export interface SegmentTask {
  readonly stem: string;
  readonly workerId: string;
  /** Expected of every record. */
  readonly epoch: number;
  /** Keyed for the epoch; null without the token: then only the links of the chain are checked. */
  readonly mac: Mac | null;
  /** Tree sizes at which the range so far is kept. */
  readonly snapshots: readonly number[];
}

/** A segment task with its key, for a runner that may be another thread. */
export interface SegmentJob extends Omit<SegmentTask, 'mac'> {
  readonly macKey: Uint8Array | null;
}

/** The first retained record, according to `audit.pruned`. */
export interface PruneNotice {
  readonly seq: number;
  readonly firstKeptSeq: number;
  readonly firstKeptEpoch: number;
  readonly prev: string;
}

export interface SegmentResult {
  readonly stem: string;
  /** Good records from the beginning. */
  readonly records: number;
  /** Their leaves. */
  readonly range: CompactRange;
  readonly snapshots: ReadonlyMap<number, CompactRange>;
  /** prev of the first and mac of the last good record, hex; null for an empty segment. */
  readonly firstPrev: string | null;
  readonly lastMac: string | null;
  readonly prunes: readonly PruneNotice[];
  /** Verifier keys named by `audit.opened`. */
  readonly verifierKeys: readonly string[];
  /** Bytes up to and with the last good record's newline. */
  readonly goodBytes: number;
  readonly bad: BadRecord | null;
}

/** Expected of the next record. */
export interface Expected {
  readonly workerId: string;
  readonly seq: number;
  readonly epoch: number;
  /** null: any (the first record of a segment is joined to the one before later). */
  readonly prev: string | null;
  readonly mac: Mac | null;
}

/** Checks lines one after the other; not reentrant. */
export class LineChecker {
  readonly #scratch = new Scratch();

  /** Checks one line against its place. Returns the record, or its fault. */
  async check(bytes: Uint8Array, expected: Expected): Promise<AuditRecord | { readonly fault: AuditFault }> {
    const parsed = parseLine(bytes);
    if (typeof parsed === 'string') return { fault: parsed };
    const { record } = parsed;
    if (record.seq !== expected.seq) return { fault: 'wrong-sequence' };
    if (record.epoch !== expected.epoch) return { fault: 'wrong-epoch' };
    if (record.workerId !== expected.workerId) return { fault: 'wrong-worker' };
    if (expected.prev !== null && record.prev !== expected.prev) return { fault: 'wrong-prev' };
    if (expected.mac !== null && !(await this.macHolds(bytes, parsed, expected.mac))) {
      return { fault: 'bad-mac' };
    }
    return record;
  }

  /** True if the line's MAC holds for the line's own prev. */
  macHolds(bytes: Uint8Array, { record, macStart, macEnd }: ParsedLine, mac: Mac): Promise<boolean> {
    const covered = this.#scratch.take(MAC_BYTES + macStart + bytes.length - macEnd);
    covered.set(fromHex(record.prev));
    covered.set(bytes.subarray(0, macStart), MAC_BYTES);
    covered.set(bytes.subarray(macEnd), MAC_BYTES + macStart);
    return mac.verify(covered, fromHex(record.mac));
  }
}

/** Runs a job where its bytes are; zeroes its key. */
export async function runSegmentJob(
  crypto: CryptoProvider,
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  { macKey, ...task }: SegmentJob,
): Promise<SegmentResult> {
  const mac = macKey === null ? null : await crypto.hmac(macKey);
  macKey?.fill(0);
  return verifySegment(crypto, chunks, { ...task, mac });
}

/** Verifies one segment, streaming; stops at the first bad record. */
export async function verifySegment(
  crypto: CryptoProvider,
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  task: SegmentTask,
): Promise<SegmentResult> {
  const name = parseStem(task.stem);
  if (name === null) throw new Error('a segment task needs a segment name');
  const range = new CompactRange(crypto, name.firstSeq);
  const checker = new LineChecker();
  const scratch = new Scratch();
  const snapshots = new Map<number, CompactRange>();
  const prunes: PruneNotice[] = [];
  const verifierKeys = new Set<string>();
  let firstPrev: string | null = null;
  let lastMac: string | null = null;
  let goodBytes = 0;
  let bad: BadRecord | null = null;
  const keepSnapshot = (): void => {
    if (task.snapshots.includes(range.end)) snapshots.set(range.end, range.copy());
  };
  keepSnapshot();

  lines: for await (const batch of splitLines(chunks, MAX_LINE_BYTES)) {
    for (const { bytes, offset, terminated } of batch) {
      const seq = range.end;
      const checked = await checker.check(bytes, { ...task, seq, prev: lastMac });
      let fault: AuditFault | null = 'fault' in checked ? checked.fault : null;
      if (fault === null && !('fault' in checked)) {
        if (lastMac === null && checked.ts.slice(0, 10) !== name.date) fault = 'wrong-segment-name';
        else if (!terminated) fault = 'torn';
        else {
          await range.append(await leafHash(crypto, bytes, scratch));
          firstPrev ??= checked.prev;
          lastMac = checked.mac;
          goodBytes = offset + bytes.length + 1;
          keepSnapshot();
          noteLogRecord(checked, prunes, verifierKeys);
        }
      } else if (!terminated && bytes.length <= MAX_LINE_BYTES) fault = 'torn';
      if (fault !== null) {
        bad = { seq, segment: task.stem, offset, reason: fault, message: faultMessage(fault, seq) };
        break lines;
      }
    }
  }
  return {
    stem: task.stem,
    records: range.end - range.begin,
    range,
    snapshots,
    firstPrev,
    lastMac,
    prunes,
    verifierKeys: [...verifierKeys],
    goodBytes,
    bad,
  };
}

function noteLogRecord(record: AuditRecord, prunes: PruneNotice[], verifierKeys: Set<string>): void {
  if (record.type === 'audit.opened') {
    const key = dataText(record, 'verifierKey');
    if (key !== null) verifierKeys.add(key);
  } else if (record.type === 'audit.pruned') {
    const { firstKeptSeq, firstKeptEpoch, prev } = record.data;
    if (typeof firstKeptSeq === 'number' && typeof firstKeptEpoch === 'number' && typeof prev === 'string') {
      prunes.push({ seq: record.seq, firstKeptSeq, firstKeptEpoch, prev });
    }
  }
}

const WHAT: Readonly<Record<AuditFault, string>> = {
  'line-too-long': 'is longer than any record can be',
  'not-json': 'is not JSON',
  'not-canonical': 'is not canonical JSON: it was edited',
  'bad-field': 'does not have the fields of a record',
  'wrong-worker': 'names another worker',
  'wrong-sequence':
    'has a sequence number that does not match its place: records were removed, repeated or moved',
  'wrong-epoch': "has an epoch that is not its segment's",
  'wrong-prev': 'does not follow the record before it',
  'bad-mac': 'has a MAC that does not hold: it was changed, or the token is another one',
  torn: 'is unfinished',
  'wrong-segment-name': 'is not the one in the name of its file',
  'missing-segment': 'is missing with its segment',
  'retained-hashes': 'has no usable retained hash',
  'unexplained-pruning': 'was removed without an audit.pruned record',
  'checkpoint-missing': 'is under no checkpoint: the checkpoint file is missing',
  'checkpoint-unreadable': 'is under a checkpoint that cannot be read',
  'checkpoint-origin': 'is under a checkpoint of another log',
  'checkpoint-signature': 'is under a checkpoint whose signature does not hold',
  'root-mismatch': 'is under a checkpoint that contradicts it',
  truncated: 'is missing, though a checkpoint covers it',
};

export function faultMessage(fault: AuditFault, seq: number): string {
  return `record ${seq} ${WHAT[fault]}`;
}
