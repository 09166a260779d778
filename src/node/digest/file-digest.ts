import { throwIfAborted } from '../../base/index.js';
import {
  BLOCK_BYTES,
  type DigestEngine,
  HASH_BYTES,
  type HostDigest,
  hostDigest,
  TreeAccumulator,
} from '../../digest/index.js';
import type { Source } from '../../source/index.js';
import { OpenFile } from '../files/open-file.js';
import { NativeEngine } from './native-engine.js';
import type { NativeHasher } from './native-hasher.js';
import { blockHasher, sha256 } from './node-hashes.js';

/** Read and hashed between two checks of the signal. Two such windows are under way at a time. */
const WINDOW_BYTES = 16 * 1024 * 1024;

export interface FileDigestOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called with the number of bytes hashed so far. */
  readonly onBytes?: ((bytes: number) => void) | undefined;
}

/**
 * The fs-verity digest of a whole file, without the flat SHA-256. The addon's threads read the file themselves, so no byte
 * passes through JavaScript. Null where that is not possible: a source that is not a file, an engine without the addon's
 * hasher. Errors: SOURCE_MISMATCH if the file changed meanwhile, INVALID_INPUT if it cannot be read, ABORTED.
 */
export async function digestFile(
  source: Source,
  engine: DigestEngine,
  options: FileDigestOptions = {},
): Promise<HostDigest | null> {
  const native = engine instanceof NativeEngine ? engine.hasher : null;
  if (native === null || !(source instanceof OpenFile)) return null;
  const tree = await hashTree(source, native, options);
  await source.unchanged();
  return hostDigest(source.byteLength, null, tree.finish(), async (bytes) => sha256(bytes));
}

async function hashTree(
  file: OpenFile,
  native: NativeHasher,
  { signal, onBytes }: FileDigestOptions,
): Promise<TreeAccumulator> {
  const tree = new TreeAccumulator(file.byteLength, 'root', blockHasher(native));
  const buffers = [0, 1].map(() => new Uint8Array((WINDOW_BYTES / BLOCK_BYTES) * HASH_BYTES));
  const underWay: Promise<Window | { readonly error: unknown }>[] = [];
  const start = (offset: number, buffer: Uint8Array): void => {
    if (offset >= file.byteLength) return;
    const length = Math.min(WINDOW_BYTES, file.byteLength - offset);
    const hashes = buffer.subarray(0, Math.ceil(length / BLOCK_BYTES) * HASH_BYTES);
    underWay.push(
      file.hashBlocks(native, offset, length, hashes).then(
        () => ({ end: offset + length, hashes, buffer }),
        // Reported when its turn comes; the window before it may fail first.
        (error: unknown) => ({ error }),
      ),
    );
  };
  for (const [k, buffer] of buffers.entries()) start(k * WINDOW_BYTES, buffer);
  try {
    for (let window = await underWay.shift(); window !== undefined; window = await underWay.shift()) {
      if ('error' in window) throw window.error;
      throwIfAborted(signal);
      tree.addLeaves(window.hashes);
      start(window.end + WINDOW_BYTES, window.buffer);
      onBytes?.(window.end);
    }
    return tree;
  } finally {
    // Threads write to the buffers until these have settled.
    await Promise.all(underWay);
  }
}

interface Window {
  /** Byte of the file behind the window. */
  readonly end: number;
  readonly hashes: Uint8Array;
  /** What `hashes` is a part of. */
  readonly buffer: Uint8Array;
}
