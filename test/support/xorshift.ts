/**
 * Repeatable test data: xorshift32 with shifts 13, 17, 5 (Marsaglia 2003), each state written as a little-endia uint32, the
 * last one cut to size. `seed` is a non-zero 32-bit integer; `size` is in bytes.
 */
export function xorshiftBytes(seed: number, size: number): Uint8Array<ArrayBuffer> {
  const words = Math.ceil(size / 4);
  const buffer = new ArrayBuffer(words * 4);
  const view = new DataView(buffer);
  let state = seed | 0;
  for (let i = 0; i < words; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    view.setInt32(i * 4, state, true);
  }
  return new Uint8Array(buffer, 0, size);
}
