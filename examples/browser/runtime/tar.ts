// A tar file (POSIX ustar) of a few small files.

export interface TarEntry {
  /** ASCII, at most 100 characters. */
  readonly name: string;
  readonly blob: Blob;
}

const BLOCK = 512;
const MAX_NAME = 100;
const CHECKSUM_AT = 148;
const CHECKSUM_LENGTH = 8;
const SPACE = 0x20;

/** Errors: RangeError for a name that the format has no room for. */
export function tar(entries: readonly TarEntry[]): Blob {
  const now = Math.floor(Date.now() / 1_000);
  const parts: BlobPart[] = [];
  for (const { name, blob } of entries) {
    const padding = (BLOCK - (blob.size % BLOCK)) % BLOCK;
    parts.push(header(name, blob.size, now), blob, new Uint8Array(padding));
  }
  parts.push(new Uint8Array(2 * BLOCK));
  return new Blob(parts, { type: 'application/x-tar' });
}

function header(name: string, size: number, time: number): Uint8Array<ArrayBuffer> {
  if (name.length > MAX_NAME || !/^[\x21-\x7e]+$/.test(name)) {
    throw new RangeError('name: a tar entry has 1 to 100 visible ASCII characters');
  }
  const block = new Uint8Array(BLOCK);
  const put = (offset: number, value: string): void => {
    block.set(new TextEncoder().encode(value), offset);
  };
  const octal = (value: number, digits: number): string => `${value.toString(8).padStart(digits, '0')}\0`;
  put(0, name);
  put(100, octal(0o644, 7));
  put(108, octal(0, 7));
  put(116, octal(0, 7));
  put(124, octal(size, 11));
  put(136, octal(time, 11));
  put(156, '0');
  put(257, 'ustar\x0000');
  // Its own field counts as spaces.
  block.fill(SPACE, CHECKSUM_AT, CHECKSUM_AT + CHECKSUM_LENGTH);
  const sum = block.reduce((total, byte) => total + byte, 0);
  put(CHECKSUM_AT, `${sum.toString(8).padStart(6, '0')}\0 `);
  return block;
}
