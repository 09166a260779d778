export { bytesSource } from './bytes.js';
export { type ByteStream, streamSource } from './stream.js';
export type { Source, StreamOptions } from './types.js';
