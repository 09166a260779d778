import { CompactRange, type SegmentJob, type SegmentResult } from '../../audit/index.js';
import type { CryptoProvider } from '../../crypto/index.js';

/** A job for a worker thread. */
export interface SegmentRequest {
  readonly id: number;
  readonly path: string;
  readonly job: SegmentJob;
}

interface PlainRange {
  readonly begin: number;
  readonly end: number;
  readonly hashes: readonly Uint8Array[];
}

/** A result in a form that can be cloned between threads. */
export type PlainResult = Omit<SegmentResult, 'range' | 'snapshots'> & {
  readonly range: PlainRange;
  readonly snapshots: readonly (readonly [number, PlainRange])[];
};

export type SegmentReply =
  | { readonly id: number; readonly result: PlainResult }
  | { readonly id: number; readonly failure: { readonly code: string | null; readonly message: string } };

export function toPlain(result: SegmentResult): PlainResult {
  return {
    ...result,
    range: plainRange(result.range),
    snapshots: [...result.snapshots].map(([size, range]) => [size, plainRange(range)] as const),
  };
}

export function fromPlain(crypto: CryptoProvider, plain: PlainResult): SegmentResult {
  return {
    ...plain,
    range: rangeOf(crypto, plain.range),
    snapshots: new Map(plain.snapshots.map(([size, range]) => [size, rangeOf(crypto, range)])),
  };
}

function plainRange({ begin, end, hashes }: CompactRange): PlainRange {
  return { begin, end, hashes };
}

function rangeOf(crypto: CryptoProvider, { begin, end, hashes }: PlainRange): CompactRange {
  return new CompactRange(crypto, begin, end, hashes);
}
