import {
  type AuditRecord,
  type AuditSeverity,
  type AuditType,
  dataText,
  MAX_LINE_BYTES,
  parseLine,
  splitLines,
} from '../../audit/index.js';
import { invalidInput } from '../../base/index.js';
import { readChunks } from '../files/index.js';
import { type AuditPlatform, systemPlatform } from './directory.js';
import { listLog, segmentPath } from './layout.js';

/** Filters; all given ones must match. */
export interface ShowAuditOptions {
  readonly types?: readonly AuditType[] | undefined;
  readonly severities?: readonly AuditSeverity[] | undefined;
  readonly shardId?: string | undefined;
  readonly correlationId?: string | undefined;
  /** From this time on: RFC 3339, or a UTC date. */
  readonly since?: string | undefined;
  /** Before this time. */
  readonly until?: string | undefined;
  /** Called for lines that are not records; they are skipped. */
  readonly onBadLine?: (place: { readonly segment: string; readonly offset: number }) => void;
}

/** Documented at the door, index.ts. */
export async function* showAudit(
  dir: string,
  options: ShowAuditOptions = {},
  platform: AuditPlatform = systemPlatform,
): AsyncGenerator<AuditRecord, void, undefined> {
  const since = options.since === undefined ? -Infinity : parseTime('since', options.since);
  const until = options.until === undefined ? Infinity : parseTime('until', options.until);
  const { stems } = await listLog(platform.fs, dir);
  for (const stem of stems) {
    for await (const lines of splitLines(readChunks(platform.fs, segmentPath(dir, stem)), MAX_LINE_BYTES)) {
      for (const { bytes, offset } of lines) {
        const parsed = parseLine(bytes);
        if (typeof parsed === 'string') options.onBadLine?.({ segment: stem, offset });
        else if (matches(parsed.record, options, since, until)) yield parsed.record;
      }
    }
  }
}

function matches(record: AuditRecord, options: ShowAuditOptions, since: number, until: number): boolean {
  const at = Date.parse(record.ts);
  return (
    at >= since &&
    at < until &&
    (options.types === undefined || options.types.includes(record.type)) &&
    (options.severities === undefined || options.severities.includes(record.severity)) &&
    (options.shardId === undefined || dataText(record, 'shardId') === options.shardId) &&
    (options.correlationId === undefined || record.correlationId === options.correlationId)
  );
}

const TIME = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d))?$/;

/** Milliseconds since 1970 of a UTC date or an RFC 3339 time. Errors: INVALID_INPUT naming `argument`. */
export function parseTime(argument: string, text: string): number {
  const at = TIME.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(at)) {
    throw invalidInput(argument, 'must be a date such as 2026-01-31 or a time such as 2026-01-31T08:00:00Z');
  }
  return at;
}
