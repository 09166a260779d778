import type { RandomAccess, Source } from 'vram-residency/browser';

/** A dropped file, or a downloaded one, as the library takes it: never read as a whole. */
export function blobSource(blob: Blob, label: string): Source {
  const bytes = async (offset: number, length: number): Promise<Uint8Array> =>
    new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
  return {
    byteLength: blob.size,
    label,
    async *stream({ signal, chunkBytes }) {
      for (let offset = 0; offset < blob.size; offset += chunkBytes) {
        signal?.throwIfAborted();
        yield await bytes(offset, Math.min(chunkBytes, blob.size - offset));
      }
    },
    readRange: bytes,
    // A File that changes on disk fails when it is read; a Blob in memory cannot change.
    async unchanged() {},
    async close() {},
  };
}

/** For the readers of model formats. */
export function blobAccess(blob: Blob): RandomAccess {
  return {
    byteLength: blob.size,
    read: async (offset, length) => new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer()),
  };
}
