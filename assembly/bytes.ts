/** Reverses the bytes of each 32-bit word: SHA-256 is big-endian (FIPS 180-4, section 3.1). */
@inline
export function bigEndian(x: v128): v128 {
  return v128.shuffle<u8>(x, x, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12);
}
