import { open } from 'node:fs/promises';

/**
 * The bytes of a small file or pipe, read from one descriptor: what it holds counts, not the size that a name had a
 * moment ago. Errors: a RangeError above `maxBytes`; what the system says.
 */
export async function readLimited(path: string, maxBytes: number): Promise<Uint8Array> {
  const handle = await open(path, 'r');
  try {
    const bytes = new Uint8Array(maxBytes + 1);
    let length = 0;
    for (let read = -1; read !== 0 && length < bytes.length; length += read) {
      read = (await handle.read(bytes, length, bytes.length - length, null)).bytesRead;
    }
    if (length > maxBytes) throw new RangeError(`the file is larger than ${maxBytes} bytes`);
    return bytes.slice(0, length);
  } finally {
    await handle.close();
  }
}
