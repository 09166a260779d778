import { invalidInput } from '../base/index.js';
import type { Source, SourceCallOptions } from './types.js';

/** A source that can be read at any position, as healing needs. */
export interface RangedSource extends Source {
  readRange(offset: number, length: number, options?: SourceCallOptions): Promise<Uint8Array>;
}

/** Refuses a `source` argument that is not a source. Errors: INVALID_INPUT. */
export function checkSource(value: unknown): void {
  if (
    typeof value !== 'object' ||
    value === null ||
    !('stream' in value) ||
    typeof value.stream !== 'function'
  ) {
    throw invalidInput('source', 'must be a source: see fileSource, urlSource, bytesSource and streamSource');
  }
}

export function hasRanges(source: Source): source is RangedSource {
  return typeof source.readRange === 'function';
}

/** Errors: INVALID_INPUT. */
export function requireRanges(source: Source): RangedSource {
  if (!hasRanges(source)) throw invalidInput('source', 'cannot be read at a position, so it cannot heal');
  return source;
}
