import { checkBytes, checkInteger } from '../base/index.js';

/** A file or buffer with random access, from which model formats are read. */
export interface RandomAccess {
  readonly byteLength: number;
  /** Exactly `length` bytes from `offset`, inside `byteLength`; valid until the next call. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** Random access to bytes that are in memory; nothing is copied. */
export function bytesAccess(bytes: Uint8Array): RandomAccess {
  checkBytes('bytes', bytes);
  return {
    byteLength: bytes.length,
    async read(offset, length) {
      checkInteger('offset', offset, 0, bytes.length);
      checkInteger('length', length, 0, bytes.length - offset);
      return bytes.subarray(offset, offset + length);
    },
  };
}
