import { throwIfAborted } from '../../base/index.js';
import type { Region } from '../../device/index.js';
import type { Core, OperationOptions } from '../state/index.js';

/** Bytes of one window; two windows are in host memory at a time. */
const WINDOW_BYTES = 4 * 2 ** 20;

/** The digest of device memory, computed on the host from a copy: slow, but independent of the kernels. */
export async function readbackDigest(
  core: Core,
  region: Region,
  { signal, onProgress }: OperationOptions,
): Promise<string> {
  const totalBytes = region.byteLength;
  const stream = core.engine.start({ byteLength: totalBytes, sha256: false, keep: 'root' });
  const read = (offset: number): Promise<Uint8Array> =>
    region.read(offset, Math.min(WINDOW_BYTES, totalBytes - offset));
  try {
    // Checked before the first read, which nothing would wait for if the signal had fired.
    throwIfAborted(signal);
    let pending = read(0);
    for (let offset = 0; offset < totalBytes; ) {
      throwIfAborted(signal);
      const chunk = await pending;
      offset += chunk.length;
      // The next window is copied while this one is hashed.
      const next = offset < totalBytes ? read(offset) : pending;
      const [fetched, hashed] = await Promise.allSettled([next, stream.update(chunk)]);
      if (hashed.status === 'rejected') throw hashed.reason;
      if (fetched.status === 'rejected') throw fetched.reason;
      pending = next;
      onProgress?.({ phase: 'readback', bytes: offset, totalBytes });
    }
    return (await stream.finish()).fsverity;
  } finally {
    stream.abort();
  }
}
