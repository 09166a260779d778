import {
  type AuditRecord,
  leafHash,
  MAX_LINE_BYTES,
  parseLine,
  parseStem,
  splitLines,
} from '../../audit/index.js';
import {
  checkInteger,
  checkOptions,
  concatBytes,
  invalidInput,
  type OptionKeys,
  VramError,
} from '../../base/index.js';
import { readChunks, replaceFile } from '../files/index.js';
import { type AuditPlatform, openAuditDirectory, systemPlatform } from './directory.js';
import { leavesPath, listLog, segmentPath } from './layout.js';
import { DEFAULT_RETENTION_DAYS } from './retention.js';
import { parseTime } from './show.js';
import { reading, verifyAudit } from './verify.js';

const DAY_MS = 86_400_000;

/** Options of pruneAudit(). */
export interface PruneAuditOptions {
  readonly token: Uint8Array;
  readonly workerId: string;
  readonly keyFile?: string | undefined;
  /** As in openAuditDirectory. */
  readonly trustOwner?: number | undefined;
  /** Segments whose records are all older than this are removed; default, and at the latest, the end of the retention. */
  readonly before?: string | undefined;
  /** How long records must be kept, days; default 2557 (seven years). */
  readonly retentionDays?: number | undefined;
  /** Only report what would be removed. */
  readonly dryRun?: boolean | undefined;
  /** Wall clock; default the system's. */
  readonly now?: (() => Date) | undefined;
}

const PRUNE_KEYS = {
  token: true,
  workerId: true,
  keyFile: true,
  trustOwner: true,
  before: true,
  retentionDays: true,
  dryRun: true,
  now: true,
} satisfies OptionKeys<PruneAuditOptions>;

/** What pruneAudit() removed, or would remove. */
export interface PruneReport {
  readonly v: 1;
  readonly dryRun: boolean;
  /** The date in force. */
  readonly before: string;
  readonly retentionDays: number;
  readonly removedSegments: readonly string[];
  readonly removedRecords: number;
  /** null if no record was removed. */
  readonly firstKeptSeq: number | null;
}

interface OldSegment {
  readonly stem: string;
  readonly records: number;
}

/** Documented at the door, index.ts. */
export async function pruneAudit(
  dir: string,
  options: PruneAuditOptions,
  platform: AuditPlatform = systemPlatform,
): Promise<PruneReport> {
  checkOptions('options', options, PRUNE_KEYS);
  const { fs } = platform;
  const now = options.now ?? (() => new Date());
  const retentionDays = checkInteger(
    'retentionDays',
    options.retentionDays ?? DEFAULT_RETENTION_DAYS,
    0,
    36_525,
  );
  const latest = now().getTime() - retentionDays * DAY_MS;
  const before = options.before === undefined ? latest : parseTime('before', options.before);
  if (before > latest) {
    throw invalidInput(
      'before',
      `must not be later than ${new Date(latest).toISOString()}: records are kept ${retentionDays} days`,
    );
  }
  const { keyFile, trustOwner } = options;
  const verified = await verifyAudit(dir, { token: options.token, keyFile, trustOwner }, platform);
  if (verified.bad !== null) {
    throw new VramError('AUDIT_CORRUPT', `the audit log is not pruned: ${verified.bad.message}`);
  }
  const old = await reading(() => findOld(platform, dir, before));
  const removedRecords = old.reduce((sum, { records }) => sum + records, 0);
  const report = {
    v: 1,
    dryRun: options.dryRun === true,
    before: new Date(before).toISOString(),
    retentionDays,
    removedSegments: old.map(({ stem }) => stem),
    removedRecords,
    firstKeptSeq: null,
  } as const;
  if (old.length === 0) return report;
  const kept = await reading(() => firstKept(platform, dir, old));
  if (report.dryRun) return { ...report, firstKeptSeq: kept.seq };

  const log = await openAuditDirectory(
    { dir, token: options.token, workerId: options.workerId, now, keyFile, trustOwner },
    platform,
  );
  try {
    await reading(async () => {
      for (const { stem } of old) await keepLeaves(platform, dir, stem);
      await fs.syncDirectory(dir);
    });
    await log.log.record('audit.pruned', {
      before: report.before,
      retentionDays,
      removedSegments: old.length,
      removedRecords,
      firstKeptSeq: kept.seq,
      firstKeptEpoch: kept.epoch,
      prev: kept.prev,
    });
    await log.head();
    await reading(async () => {
      for (const { stem } of old) await fs.remove(segmentPath(dir, stem));
      await fs.syncDirectory(dir);
    });
  } finally {
    await log.close();
  }
  return { ...report, firstKeptSeq: kept.seq };
}

/** Segments at the front whose records are all older; never the newest, which is being written. */
async function findOld(platform: AuditPlatform, dir: string, before: number): Promise<OldSegment[]> {
  const { stems } = await listLog(platform.fs, dir);
  const old: OldSegment[] = [];
  for (const stem of stems.slice(0, -1)) {
    let records = 0;
    for await (const { record } of recordsOf(platform, dir, stem)) {
      if (Date.parse(record.ts) >= before) return old;
      records += 1;
    }
    old.push({ stem, records });
  }
  return old;
}

async function firstKept(
  platform: AuditPlatform,
  dir: string,
  old: readonly OldSegment[],
): Promise<AuditRecord> {
  const { stems } = await listLog(platform.fs, dir);
  const last = parseStem(old.at(-1)?.stem ?? '')?.firstSeq ?? -1;
  const stem = stems.find((name) => (parseStem(name)?.firstSeq ?? -1) > last);
  if (stem !== undefined) {
    for await (const { record } of recordsOf(platform, dir, stem)) return record;
  }
  throw new VramError('AUDIT_CORRUPT', 'the audit log is corrupt: no record would remain');
}

/** Writes a segment's leaf hashes beside it, atomically. */
async function keepLeaves(platform: AuditPlatform, dir: string, stem: string): Promise<void> {
  const leaves: Uint8Array[] = [];
  for await (const { line } of recordsOf(platform, dir, stem)) {
    leaves.push(await leafHash(platform.crypto, line));
  }
  await replaceFile(platform.fs, leavesPath(dir, stem), concatBytes(...leaves));
}

/** The records of a segment that was verified a moment ago. */
async function* recordsOf(
  { fs }: AuditPlatform,
  dir: string,
  stem: string,
): AsyncGenerator<{ readonly record: AuditRecord; readonly line: Uint8Array }, void, undefined> {
  for await (const lines of splitLines(readChunks(fs, segmentPath(dir, stem)), MAX_LINE_BYTES)) {
    for (const { bytes } of lines) {
      const parsed = parseLine(bytes);
      if (typeof parsed === 'string') {
        throw new VramError('AUDIT_CORRUPT', 'the audit log changed while it was pruned');
      }
      yield { record: parsed.record, line: bytes };
    }
  }
}
