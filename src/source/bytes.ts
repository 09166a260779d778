import {
  checkBytes,
  checkInteger,
  checkLabel,
  invalidInput,
  throwIfAborted,
  VramError,
} from '../base/index.js';
import type { Source } from './types.js';

/**
 * Weights that are in host memory already. The bytes are not copied: they must not change until the seal is done
 * (comparing host and device trees detects a change that matters).
 * Errors: INVALID_INPUT.
 */
export function bytesSource(bytes: Uint8Array, label = 'bytes'): Source {
  const data = checkBytes('bytes', bytes);
  const byteLength = data.byteLength;
  const name = checkLabel('label', label);
  const unchanged = (): void => {
    // A transferred or resized ArrayBuffer leaves a view of another length.
    if (data.byteLength !== byteLength) {
      throw new VramError('SOURCE_MISMATCH', 'the buffer was detached or resized while it was in use');
    }
  };
  return {
    byteLength,
    label: name,
    async *stream({ signal, chunkBytes }) {
      checkInteger('chunkBytes', chunkBytes, 1);
      for (let offset = 0; offset < byteLength; offset += chunkBytes) {
        throwIfAborted(signal);
        unchanged();
        yield data.subarray(offset, offset + chunkBytes);
      }
    },
    async readRange(offset, length) {
      checkInteger('offset', offset, 0);
      checkInteger('length', length, 0);
      if (length > byteLength - offset) throw invalidInput('length', `ends behind the ${byteLength} bytes`);
      unchanged();
      return data.slice(offset, offset + length);
    },
    async unchanged() {
      unchanged();
    },
    async close() {
      // The memory belongs to the caller.
    },
  };
}
