// Streaming SHA-256 of one message (FIPS 180-4, section 6.2.2). Rounds are serial, so they run on scalars; the message schedule is
// computed four words at a time in vectors.

import { H0, K } from './constants';

const CHUNK: usize = 64;
const wk: usize = memory.data(256, 16);
const state: usize = memory.data(32, 16);
/** The last one or two chunks: rest of the message, 0x80, zeros, length in bits. */
const tail: usize = memory.data(128, 16);
let hashed: u64 = 0;

export function flatBegin(): void {
  memory.copy(state, H0, 32);
  hashed = 0;
}

/** `length` is a multiple of 64. */
export function flatAbsorb(from: usize, length: usize): void {
  for (const end = from + length; from < end; from += CHUNK) {
    schedule(from);
    compress();
  }
  hashed += length;
}

/** The rest of the message, of any length; 32 bytes go to `out`. */
export function flatFinish(from: usize, length: usize, out: usize): void {
  const rest = length % CHUNK;
  flatAbsorb(from, length - rest);
  const bits = (hashed + rest) << 3;
  memory.fill(tail, 0, 2 * CHUNK);
  memory.copy(tail, from + length - rest, rest);
  store<u8>(tail + rest, 0x80);
  const padded = rest < CHUNK - 8 ? CHUNK : 2 * CHUNK;
  store<u64>(tail + padded - 8, bswap<u64>(bits));
  flatAbsorb(tail, padded);
  v128.store(out, bigEndian(v128.load(state)));
  v128.store(out, bigEndian(v128.load(state, 16)), 16);
}

/** W + K of one chunk. */
function schedule(from: usize): void {
  let w0 = bigEndian(v128.load(from));
  let w1 = bigEndian(v128.load(from, 16));
  let w2 = bigEndian(v128.load(from, 32));
  let w3 = bigEndian(v128.load(from, 48));
  for (let at: usize = 0; ; at += 64) {
    v128.store(wk + at, i32x4.add(w0, v128.load(K + at)));
    v128.store(wk + at, i32x4.add(w1, v128.load(K + at, 16)), 16);
    v128.store(wk + at, i32x4.add(w2, v128.load(K + at, 32)), 32);
    v128.store(wk + at, i32x4.add(w3, v128.load(K + at, 48)), 48);
    if (at == 192) return;
    w0 = next(w0, w1, w2, w3);
    w1 = next(w1, w2, w3, w0);
    w2 = next(w2, w3, w0, w1);
    w3 = next(w3, w0, w1, w2);
  }
}

/** Four more words of W from the sixteen before them. The last two need the first two, so sigma1 is taken in halves. */
// @ts-ignore: decorator
@inline
function next(w0: v128, w1: v128, w2: v128, w3: v128): v128 {
  const early = i32x4.add(
    i32x4.add(w0, sigma0(v128.shuffle<u32>(w0, w1, 1, 2, 3, 4))),
    v128.shuffle<u32>(w2, w3, 1, 2, 3, 4),
  );
  const zero = i32x4.splat(0);
  const low = i32x4.add(early, v128.shuffle<u32>(sigma1(v128.shuffle<u32>(w3, w3, 2, 2, 3, 3)), zero, 0, 2, 4, 4));
  return i32x4.add(low, v128.shuffle<u32>(sigma1(v128.shuffle<u32>(low, low, 0, 0, 1, 1)), zero, 4, 4, 0, 2));
}

// @ts-ignore: decorator
@inline
function sigma0(x: v128): v128 {
  return v128.xor(
    v128.xor(v128.xor(i32x4.shr_u(x, 7), i32x4.shl(x, 25)), v128.xor(i32x4.shr_u(x, 18), i32x4.shl(x, 14))),
    i32x4.shr_u(x, 3),
  );
}

/** Each word stands twice in 64 bits, so that a 64-bit shift rotates it. */
// @ts-ignore: decorator
@inline
function sigma1(pairs: v128): v128 {
  return v128.xor(v128.xor(i64x2.shr_u(pairs, 17), i64x2.shr_u(pairs, 19)), i32x4.shr_u(pairs, 10));
}

function compress(): void {
  let a = load<u32>(state);
  let b = load<u32>(state, 4);
  let c = load<u32>(state, 8);
  let d = load<u32>(state, 12);
  let e = load<u32>(state, 16);
  let f = load<u32>(state, 20);
  let g = load<u32>(state, 24);
  let h = load<u32>(state, 28);
  for (let at = wk, end = wk + 256; at < end; at += 32) {
    h += load<u32>(at, 0) + sum1(e) + (g ^ (e & (f ^ g)));
    d += h;
    h += sum0(a) + ((a & b) | (c & (a | b)));
    g += load<u32>(at, 4) + sum1(d) + (f ^ (d & (e ^ f)));
    c += g;
    g += sum0(h) + ((h & a) | (b & (h | a)));
    f += load<u32>(at, 8) + sum1(c) + (e ^ (c & (d ^ e)));
    b += f;
    f += sum0(g) + ((g & h) | (a & (g | h)));
    e += load<u32>(at, 12) + sum1(b) + (d ^ (b & (c ^ d)));
    a += e;
    e += sum0(f) + ((f & g) | (h & (f | g)));
    d += load<u32>(at, 16) + sum1(a) + (c ^ (a & (b ^ c)));
    h += d;
    d += sum0(e) + ((e & f) | (g & (e | f)));
    c += load<u32>(at, 20) + sum1(h) + (b ^ (h & (a ^ b)));
    g += c;
    c += sum0(d) + ((d & e) | (f & (d | e)));
    b += load<u32>(at, 24) + sum1(g) + (a ^ (g & (h ^ a)));
    f += b;
    b += sum0(c) + ((c & d) | (e & (c | d)));
    a += load<u32>(at, 28) + sum1(f) + (h ^ (f & (g ^ h)));
    e += a;
    a += sum0(b) + ((b & c) | (d & (b | c)));
  }
  store<u32>(state, load<u32>(state, 0) + a, 0);
  store<u32>(state, load<u32>(state, 4) + b, 4);
  store<u32>(state, load<u32>(state, 8) + c, 8);
  store<u32>(state, load<u32>(state, 12) + d, 12);
  store<u32>(state, load<u32>(state, 16) + e, 16);
  store<u32>(state, load<u32>(state, 20) + f, 20);
  store<u32>(state, load<u32>(state, 24) + g, 24);
  store<u32>(state, load<u32>(state, 28) + h, 28);
}

// @ts-ignore: decorator
@inline
function sum0(x: u32): u32 {
  return rotr<u32>(x, 2) ^ rotr<u32>(x, 13) ^ rotr<u32>(x, 22);
}

// @ts-ignore: decorator
@inline
function sum1(x: u32): u32 {
  return rotr<u32>(x, 6) ^ rotr<u32>(x, 11) ^ rotr<u32>(x, 25);
}

// @ts-ignore: decorator
@inline
function bigEndian(x: v128): v128 {
  return v128.shuffle<u8>(x, x, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12);
}
