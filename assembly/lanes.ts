// SHA-256 of four 4096-byte blocks at once (FIPS 180-4, section 6.2.2), one block in each 32-bit lane of a vector.

import { bigEndian } from './bytes';
import { H0, K, PADDING_WK } from './constants';

const BLOCK: usize = 4096;
const CHUNK: usize = 64;
const ROUNDS: usize = 64;

/** Message schedule W, then W + K: 64 vectors each. */
const w: usize = memory.data(<i32>(ROUNDS * 16), 16);
const wk: usize = memory.data(<i32>(ROUNDS * 16), 16);
/** W + K of the padding chunk, the same in all lanes. */
const paddingWk: usize = memory.data(<i32>(ROUNDS * 16), 16);
const state: usize = memory.data(8 * 16, 16);
let paddingReady: bool = false;

/** Hashes the four blocks that stand one after another at `blocks`; 128 bytes go to `out`. */
export function hashFourBlocks(blocks: usize, out: usize): void {
  if (!paddingReady) spreadPadding();
  for (let i: usize = 0; i < 8; i++) v128.store(state + (i << 4), v128.load_splat<u32>(H0 + (i << 2)));
  for (let offset: usize = 0; offset < BLOCK; offset += CHUNK) {
    loadChunk(blocks + offset);
    extend();
    compress(wk);
  }
  compress(paddingWk);
  storeLanes(0, out);
  storeLanes(4, out + 16);
}

function spreadPadding(): void {
  for (let i: usize = 0; i < ROUNDS; i++) {
    v128.store(paddingWk + (i << 4), v128.load_splat<u32>(PADDING_WK + (i << 2)));
  }
  paddingReady = true;
}

/** W[0..15]: 64 bytes of each block, turned so that a vector holds the same word of all four. */
function loadChunk(from: usize): void {
  for (let i: usize = 0; i < 4; i++) {
    const at = from + (i << 4);
    const row0 = v128.load(at);
    const row1 = v128.load(at + BLOCK);
    const row2 = v128.load(at + 2 * BLOCK);
    const row3 = v128.load(at + 3 * BLOCK);
    const low01 = v128.shuffle<u32>(row0, row1, 0, 4, 1, 5);
    const low23 = v128.shuffle<u32>(row2, row3, 0, 4, 1, 5);
    const high01 = v128.shuffle<u32>(row0, row1, 2, 6, 3, 7);
    const high23 = v128.shuffle<u32>(row2, row3, 2, 6, 3, 7);
    put(i << 2, bigEndian(v128.shuffle<u64>(low01, low23, 0, 2)));
    put((i << 2) + 1, bigEndian(v128.shuffle<u64>(low01, low23, 1, 3)));
    put((i << 2) + 2, bigEndian(v128.shuffle<u64>(high01, high23, 0, 2)));
    put((i << 2) + 3, bigEndian(v128.shuffle<u64>(high01, high23, 1, 3)));
  }
}

/** W[16..63], eight a turn: more in one turn spills registers. */
function extend(): void {
  for (let t: usize = 16; t < ROUNDS; t += 8) {
    put(t, next(t));
    put(t + 1, next(t + 1));
    put(t + 2, next(t + 2));
    put(t + 3, next(t + 3));
    put(t + 4, next(t + 4));
    put(t + 5, next(t + 5));
    put(t + 6, next(t + 6));
    put(t + 7, next(t + 7));
  }
}

/** Within a round, early values are added first: sum1 and sum0 come last. */
function compress(schedule: usize): void {
  let a = v128.load(state);
  let b = v128.load(state, 16);
  let c = v128.load(state, 32);
  let d = v128.load(state, 48);
  let e = v128.load(state, 64);
  let f = v128.load(state, 80);
  let g = v128.load(state, 96);
  let h = v128.load(state, 112);
  for (let at = schedule, end = schedule + ROUNDS * 16; at < end; at += 128) {
    h = add(add(add(h, v128.load(at)), v128.bitselect(f, g, e)), sum1(e));
    d = add(d, h);
    h = add(h, add(v128.bitselect(c, b, v128.xor(a, b)), sum0(a)));
    g = add(add(add(g, v128.load(at, 16)), v128.bitselect(e, f, d)), sum1(d));
    c = add(c, g);
    g = add(g, add(v128.bitselect(b, a, v128.xor(h, a)), sum0(h)));
    f = add(add(add(f, v128.load(at, 32)), v128.bitselect(d, e, c)), sum1(c));
    b = add(b, f);
    f = add(f, add(v128.bitselect(a, h, v128.xor(g, h)), sum0(g)));
    e = add(add(add(e, v128.load(at, 48)), v128.bitselect(c, d, b)), sum1(b));
    a = add(a, e);
    e = add(e, add(v128.bitselect(h, g, v128.xor(f, g)), sum0(f)));
    d = add(add(add(d, v128.load(at, 64)), v128.bitselect(b, c, a)), sum1(a));
    h = add(h, d);
    d = add(d, add(v128.bitselect(g, f, v128.xor(e, f)), sum0(e)));
    c = add(add(add(c, v128.load(at, 80)), v128.bitselect(a, b, h)), sum1(h));
    g = add(g, c);
    c = add(c, add(v128.bitselect(f, e, v128.xor(d, e)), sum0(d)));
    b = add(add(add(b, v128.load(at, 96)), v128.bitselect(h, a, g)), sum1(g));
    f = add(f, b);
    b = add(b, add(v128.bitselect(e, d, v128.xor(c, d)), sum0(c)));
    a = add(add(add(a, v128.load(at, 112)), v128.bitselect(g, h, f)), sum1(f));
    e = add(e, a);
    a = add(a, add(v128.bitselect(d, c, v128.xor(b, c)), sum0(b)));
  }
  v128.store(state, add(v128.load(state), a));
  v128.store(state, add(v128.load(state, 16), b), 16);
  v128.store(state, add(v128.load(state, 32), c), 32);
  v128.store(state, add(v128.load(state, 48), d), 48);
  v128.store(state, add(v128.load(state, 64), e), 64);
  v128.store(state, add(v128.load(state, 80), f), 80);
  v128.store(state, add(v128.load(state, 96), g), 96);
  v128.store(state, add(v128.load(state, 112), h), 112);
}

/** Four words of every lane's state, turned back: 16 bytes of each of the four hashes, 32 bytes apart. */
function storeLanes(word: usize, out: usize): void {
  const at = state + (word << 4);
  const row0 = v128.load(at);
  const row1 = v128.load(at, 16);
  const row2 = v128.load(at, 32);
  const row3 = v128.load(at, 48);
  const low01 = v128.shuffle<u32>(row0, row1, 0, 4, 1, 5);
  const low23 = v128.shuffle<u32>(row2, row3, 0, 4, 1, 5);
  const high01 = v128.shuffle<u32>(row0, row1, 2, 6, 3, 7);
  const high23 = v128.shuffle<u32>(row2, row3, 2, 6, 3, 7);
  v128.store(out, bigEndian(v128.shuffle<u64>(low01, low23, 0, 2)));
  v128.store(out, bigEndian(v128.shuffle<u64>(low01, low23, 1, 3)), 32);
  v128.store(out, bigEndian(v128.shuffle<u64>(high01, high23, 0, 2)), 64);
  v128.store(out, bigEndian(v128.shuffle<u64>(high01, high23, 1, 3)), 96);
}

@inline
function put(t: usize, word: v128): void {
  v128.store(w + (t << 4), word);
  v128.store(wk + (t << 4), add(word, v128.load_splat<u32>(K + (t << 2))));
}

/** W[t] from W[t - 16], W[t - 15], W[t - 7] and W[t - 2]. */
@inline
function next(t: usize): v128 {
  const at = w + (t << 4) - 256;
  return add(add(v128.load(at), sigma0(v128.load(at, 16))), add(v128.load(at, 144), sigma1(v128.load(at, 224))));
}

@inline
function add(x: v128, y: v128): v128 {
  return i32x4.add(x, y);
}

@inline
function rotr(x: v128, bits: i32): v128 {
  return v128.or(i32x4.shr_u(x, bits), i32x4.shl(x, 32 - bits));
}

@inline
function sum0(x: v128): v128 {
  return v128.xor(v128.xor(rotr(x, 2), rotr(x, 13)), rotr(x, 22));
}

@inline
function sum1(x: v128): v128 {
  return v128.xor(v128.xor(rotr(x, 6), rotr(x, 11)), rotr(x, 25));
}

@inline
function sigma0(x: v128): v128 {
  return v128.xor(v128.xor(rotr(x, 7), rotr(x, 18)), i32x4.shr_u(x, 3));
}

@inline
function sigma1(x: v128): v128 {
  return v128.xor(v128.xor(rotr(x, 17), rotr(x, 19)), i32x4.shr_u(x, 10));
}
