import { throwIfAborted } from '../base/index.js';
import type { DigestEngine, DigestRequest, HostDigest } from '../digest/index.js';
import type { Source } from '../source/index.js';

const CHUNK_BYTES = 1024 * 1024;

export interface DigestSourceOptions {
  /** Also the flat SHA-256, which is serial. */
  readonly sha256: boolean;
  readonly signal: AbortSignal;
  /** Called with the number of bytes hashed so far. */
  readonly onBytes?: (bytes: number) => void;
}

/** Hashes a whole source as it streams in. Errors: SOURCE_MISMATCH if it changed meanwhile, ABORTED. */
export async function digestSource(
  source: Source,
  engine: DigestEngine,
  options: DigestSourceOptions,
): Promise<HostDigest> {
  const request: DigestRequest = { byteLength: source.byteLength, sha256: options.sha256, keep: 'root' };
  if (source.readNatively !== undefined && engine.hashFile !== undefined) {
    const digest = await engine.hashFile(request, source.readNatively.bind(source), options);
    await source.unchanged();
    return digest;
  }
  const hashing = engine.start(request);
  let bytes = 0;
  try {
    for await (const chunk of source.stream({ chunkBytes: CHUNK_BYTES, signal: options.signal })) {
      throwIfAborted(options.signal);
      await hashing.update(chunk);
      bytes += chunk.length;
      options.onBytes?.(bytes);
    }
    await source.unchanged();
    return await hashing.finish();
  } finally {
    hashing.abort();
  }
}
