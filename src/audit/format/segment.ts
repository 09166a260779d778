/** Where a segment begins. Its file is named after its first record. */
export interface Segment {
  /** Number of the segment, from 0. */
  readonly epoch: number;
  readonly firstSeq: number;
  /** UTC date of its first record, YYYY-MM-DD. */
  readonly date: string;
  /** mac of the record before, 32 bytes; zeros for the first segment. */
  readonly prev: Uint8Array;
  /** Subtree hashes of the tree of all records before (see CompactRange). */
  readonly frontier: readonly Uint8Array[];
}

const SEQ_DIGITS = 16;
const STEM = /^(\d{16})-(\d{4}-\d{2}-\d{2})$/;

/** `<first seq, 16 digits>-<utc date>`, without an extension. */
export function segmentStem(segment: Pick<Segment, 'firstSeq' | 'date'>): string {
  return `${String(segment.firstSeq).padStart(SEQ_DIGITS, '0')}-${segment.date}`;
}

/** File of a segment in a log's directory. */
export const SEGMENT_SUFFIX = '.ndjson';
/** File of the newest checkpoint in a log's directory. */
export const CHECKPOINT_FILE = 'checkpoint';

/** Parses a stem; null if it is not one. */
export function parseStem(stem: string): { readonly firstSeq: number; readonly date: string } | null {
  const [, digits, date] = STEM.exec(stem) ?? [];
  if (digits === undefined || date === undefined || !Number.isSafeInteger(Number(digits))) return null;
  return { firstSeq: Number(digits), date };
}
