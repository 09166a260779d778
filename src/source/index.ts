// Where bytes come from: buffers, streams and URLs, read with limits, time-outs and an abort.
// Sources that run everywhere enter; files of Node stand in node/files. Model formats are read in models/.
export { bytesSource } from './bytes.js';
export { checkSource, hasRanges, type RangedSource, requireRanges } from './check.js';
export { sourceFailure } from './failure.js';
export { type SourceLimits, SourceReader } from './reader.js';
export { type ByteStream, streamSource } from './stream.js';
export type { Source, SourceCallOptions, StreamOptions } from './types.js';
export { type UrlSourceOptions, urlSource } from './url.js';
