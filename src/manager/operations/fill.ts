import { throwIfAborted, VramError } from '../../base/index.js';
import type { Region } from '../../device/index.js';
import type { DigestStream } from '../../digest/index.js';
import type { Operation } from '../../events/index.js';
import type { SourceReader } from '../../source/index.js';
import type { OperationOptions } from '../state/index.js';

/** Large enough that sending a chunk to a worker thread pays off, small enough that a few in flight take little memory. */
const CHUNK_BYTES = 2 * 2 ** 20;

/**
 * Streams a source into a region and, if the host hashes it, a digest. The next chunk is read while this one is hashed
 * and uploaded.
 * Errors: SOURCE_MISMATCH for a source of another length or one that stalls, ABORTED, INVALID_INPUT for a source that
 * fails, and the region's.
 */
export async function fillRegion(
  operation: Operation,
  source: SourceReader,
  region: Region,
  digest: DigestStream | null,
  { signal, onProgress }: OperationOptions,
): Promise<void> {
  const { clock } = operation;
  const totalBytes = region.byteLength;
  const began = clock.monotonic();
  const spent = { read: 0, hash: 0, upload: 0 };
  const timed = async (part: keyof typeof spent, work: Promise<void>): Promise<void> => {
    const from = clock.monotonic();
    await work;
    spent[part] += clock.monotonic() - from;
  };
  let offset = 0;
  let asked = began;
  for await (const chunk of source.chunks(CHUNK_BYTES)) {
    spent.read += clock.monotonic() - asked;
    throwIfAborted(signal);
    if (chunk.length > totalBytes - offset) throw wrongLength(source, `more than ${totalBytes}`);
    // Both use the chunk: neither may be left running when the other fails.
    const results = await Promise.allSettled([
      timed('upload', region.write(offset, chunk)),
      ...(digest === null ? [] : [timed('hash', digest.update(chunk))]),
    ]);
    for (const result of results) if (result.status === 'rejected') throw result.reason;
    offset += chunk.length;
    onProgress?.({ phase: 'load', bytes: offset, totalBytes });
    asked = clock.monotonic();
  }
  if (offset < totalBytes) throw wrongLength(source, `${offset} instead of ${totalBytes}`);
  for (const stage of ['read', 'hash', 'upload'] as const) {
    if (stage === 'hash' && digest === null) continue;
    await operation.stageDone(stage, totalBytes, began, spent[stage]);
  }
}

function wrongLength(source: SourceReader, gave: string): VramError {
  return new VramError(
    'SOURCE_MISMATCH',
    `the source "${source.label}" gave ${gave} bytes; nothing was sealed`,
  );
}
