import { checkInteger, checkLabel, invalidInput, throwIfAborted, VramError } from '../base/index.js';
import type { Source } from '../source/index.js';

/**
 * Weights in a Blob, such as a File that was dropped on the page: read piece by piece, never as a whole. It heals. The
 * label is the file's name unless another one is given.
 * Errors: INVALID_INPUT; while reading, SOURCE_MISMATCH if the file was changed, moved or removed.
 */
export function blobSource(blob: Blob, label?: string): Source {
  if (!(blob instanceof Blob)) throw invalidInput('blob', 'must be a Blob or a File');
  const byteLength = blob.size;
  const name = checkLabel('label', label ?? (blob instanceof File && blob.name !== '' ? blob.name : 'blob'));
  const read = async (offset: number, length: number): Promise<Uint8Array> => {
    try {
      return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
    } catch (cause) {
      throw new VramError('SOURCE_MISMATCH', `"${name}" can no longer be read: it was changed or removed`, {
        cause,
      });
    }
  };
  return {
    byteLength,
    label: name,
    async *stream({ signal, chunkBytes }) {
      checkInteger('chunkBytes', chunkBytes, 1);
      for (let offset = 0; offset < byteLength; offset += chunkBytes) {
        throwIfAborted(signal);
        yield await read(offset, Math.min(chunkBytes, byteLength - offset));
      }
    },
    async readRange(offset, length) {
      checkInteger('offset', offset, 0, byteLength);
      checkInteger('length', length, 0, byteLength - offset);
      return await read(offset, length);
    },
    async unchanged() {
      // A file that has changed since it was chosen can no longer be read.
      await read(0, Math.min(1, byteLength));
    },
    async close() {
      // The Blob stays the caller's.
    },
  };
}
