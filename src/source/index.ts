export { bytesSource } from './bytes.js';
export { checkSource, hasRanges, type RangedSource, requireRanges } from './check.js';
export { sourceFailure } from './failure.js';
export { type SourceLimits, SourceReader } from './reader.js';
export { streamSource } from './stream.js';
export type { Source, SourceCallOptions, StreamOptions } from './types.js';
export { type UrlSourceOptions, urlSource } from './url.js';
