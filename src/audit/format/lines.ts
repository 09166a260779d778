const NEWLINE = 0x0a;

/** A line of a file, without its newline. The bytes are valid until the next line is requested. */
export interface FileLine {
  readonly bytes: Uint8Array;
  /** Its offset in the file. */
  readonly offset: number;
  /** False for the bytes after the last newline. */
  readonly terminated: boolean;
}

/**
 * Cuts chunks of bytes into lines. Memory is bounded by `maxBytes`: only the start of a longer line is returned, as
 * unterminated, and the rest is skipped up to the next newline.
 */
export async function* splitLines(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  maxBytes: number,
): AsyncGenerator<readonly FileLine[]> {
  let rest: Uint8Array = new Uint8Array(0);
  let restOffset = 0;
  let skipping = false;
  for await (const chunk of chunks) {
    const bytes = rest.length === 0 ? chunk : join(rest, chunk);
    const lines: FileLine[] = [];
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
      if (!skipping) {
        lines.push({ bytes: bytes.subarray(start, end), offset: restOffset + start, terminated: true });
      }
      skipping = false;
      start = end + 1;
    }
    if (!skipping && bytes.length - start > maxBytes) {
      lines.push({ bytes: bytes.subarray(start), offset: restOffset + start, terminated: false });
      skipping = true;
    }
    if (skipping) start = bytes.length;
    if (lines.length > 0) yield lines;
    rest = bytes.slice(start);
    restOffset += start;
  }
  if (rest.length > 0) yield [{ bytes: rest, offset: restOffset, terminated: false }];
}

function join(first: Uint8Array, second: Uint8Array): Uint8Array {
  const whole = new Uint8Array(first.length + second.length);
  whole.set(first);
  whole.set(second, first.length);
  return whole;
}
