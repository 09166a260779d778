// Streaming SHA-256 of one message (FIPS 180-4, section 6.2.2). Rounds are serial, so they run on scalars; the message
// schedule is computed in vectors, four words at a time, among the rounds of the sixteen words before: a processor runs
// both in parallel (half as fast again as one after the other).

import { bigEndian } from './bytes';
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
    compress(from);
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

/** Four more words of W from the sixteen before them. The last two need the first two, so sigma1 is taken in halves. */
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

@inline
function sigma0(x: v128): v128 {
  return v128.xor(
    v128.xor(v128.xor(i32x4.shr_u(x, 7), i32x4.shl(x, 25)), v128.xor(i32x4.shr_u(x, 18), i32x4.shl(x, 14))),
    i32x4.shr_u(x, 3),
  );
}

/** Each word is duplicated in 64 bits, so that a 64-bit shift rotates it. */
@inline
function sigma1(pairs: v128): v128 {
  return v128.xor(v128.xor(i64x2.shr_u(pairs, 17), i64x2.shr_u(pairs, 19)), i32x4.shr_u(pairs, 10));
}

/** One chunk. Within a round, early values are added first: only sum1 and one addition wait for the previous round. */
function compress(from: usize): void {
  let w0 = bigEndian(v128.load(from));
  let w1 = bigEndian(v128.load(from, 16));
  let w2 = bigEndian(v128.load(from, 32));
  let w3 = bigEndian(v128.load(from, 48));
  v128.store(wk, i32x4.add(w0, v128.load(K)));
  v128.store(wk, i32x4.add(w1, v128.load(K, 16)), 16);
  v128.store(wk, i32x4.add(w2, v128.load(K, 32)), 32);
  v128.store(wk, i32x4.add(w3, v128.load(K, 48)), 48);
  let a = load<u32>(state);
  let b = load<u32>(state, 4);
  let c = load<u32>(state, 8);
  let d = load<u32>(state, 12);
  let e = load<u32>(state, 16);
  let f = load<u32>(state, 20);
  let g = load<u32>(state, 24);
  let h = load<u32>(state, 28);
  let at = wk;
  for (let k = K + 64; k < K + 256; k += 64) {
    w0 = next(w0, w1, w2, w3);
    v128.store(at, i32x4.add(w0, v128.load(k, 0)), 64);
    h = h + load<u32>(at) + (g ^ (e & (f ^ g))) + sum1(e);
    d += h;
    h = h + ((a & b) | (c & (a | b))) + sum0(a);
    g = g + load<u32>(at, 4) + (f ^ (d & (e ^ f))) + sum1(d);
    c += g;
    g = g + ((h & a) | (b & (h | a))) + sum0(h);
    f = f + load<u32>(at, 8) + (e ^ (c & (d ^ e))) + sum1(c);
    b += f;
    f = f + ((g & h) | (a & (g | h))) + sum0(g);
    e = e + load<u32>(at, 12) + (d ^ (b & (c ^ d))) + sum1(b);
    a += e;
    e = e + ((f & g) | (h & (f | g))) + sum0(f);
    w1 = next(w1, w2, w3, w0);
    v128.store(at, i32x4.add(w1, v128.load(k, 16)), 80);
    d = d + load<u32>(at, 16) + (c ^ (a & (b ^ c))) + sum1(a);
    h += d;
    d = d + ((e & f) | (g & (e | f))) + sum0(e);
    c = c + load<u32>(at, 20) + (b ^ (h & (a ^ b))) + sum1(h);
    g += c;
    c = c + ((d & e) | (f & (d | e))) + sum0(d);
    b = b + load<u32>(at, 24) + (a ^ (g & (h ^ a))) + sum1(g);
    f += b;
    b = b + ((c & d) | (e & (c | d))) + sum0(c);
    a = a + load<u32>(at, 28) + (h ^ (f & (g ^ h))) + sum1(f);
    e += a;
    a = a + ((b & c) | (d & (b | c))) + sum0(b);
    w2 = next(w2, w3, w0, w1);
    v128.store(at, i32x4.add(w2, v128.load(k, 32)), 96);
    h = h + load<u32>(at, 32) + (g ^ (e & (f ^ g))) + sum1(e);
    d += h;
    h = h + ((a & b) | (c & (a | b))) + sum0(a);
    g = g + load<u32>(at, 36) + (f ^ (d & (e ^ f))) + sum1(d);
    c += g;
    g = g + ((h & a) | (b & (h | a))) + sum0(h);
    f = f + load<u32>(at, 40) + (e ^ (c & (d ^ e))) + sum1(c);
    b += f;
    f = f + ((g & h) | (a & (g | h))) + sum0(g);
    e = e + load<u32>(at, 44) + (d ^ (b & (c ^ d))) + sum1(b);
    a += e;
    e = e + ((f & g) | (h & (f | g))) + sum0(f);
    w3 = next(w3, w0, w1, w2);
    v128.store(at, i32x4.add(w3, v128.load(k, 48)), 112);
    d = d + load<u32>(at, 48) + (c ^ (a & (b ^ c))) + sum1(a);
    h += d;
    d = d + ((e & f) | (g & (e | f))) + sum0(e);
    c = c + load<u32>(at, 52) + (b ^ (h & (a ^ b))) + sum1(h);
    g += c;
    c = c + ((d & e) | (f & (d | e))) + sum0(d);
    b = b + load<u32>(at, 56) + (a ^ (g & (h ^ a))) + sum1(g);
    f += b;
    b = b + ((c & d) | (e & (c | d))) + sum0(c);
    a = a + load<u32>(at, 60) + (h ^ (f & (g ^ h))) + sum1(f);
    e += a;
    a = a + ((b & c) | (d & (b | c))) + sum0(b);
    at += 64;
  }
  h = h + load<u32>(at) + (g ^ (e & (f ^ g))) + sum1(e);
  d += h;
  h = h + ((a & b) | (c & (a | b))) + sum0(a);
  g = g + load<u32>(at, 4) + (f ^ (d & (e ^ f))) + sum1(d);
  c += g;
  g = g + ((h & a) | (b & (h | a))) + sum0(h);
  f = f + load<u32>(at, 8) + (e ^ (c & (d ^ e))) + sum1(c);
  b += f;
  f = f + ((g & h) | (a & (g | h))) + sum0(g);
  e = e + load<u32>(at, 12) + (d ^ (b & (c ^ d))) + sum1(b);
  a += e;
  e = e + ((f & g) | (h & (f | g))) + sum0(f);
  d = d + load<u32>(at, 16) + (c ^ (a & (b ^ c))) + sum1(a);
  h += d;
  d = d + ((e & f) | (g & (e | f))) + sum0(e);
  c = c + load<u32>(at, 20) + (b ^ (h & (a ^ b))) + sum1(h);
  g += c;
  c = c + ((d & e) | (f & (d | e))) + sum0(d);
  b = b + load<u32>(at, 24) + (a ^ (g & (h ^ a))) + sum1(g);
  f += b;
  b = b + ((c & d) | (e & (c | d))) + sum0(c);
  a = a + load<u32>(at, 28) + (h ^ (f & (g ^ h))) + sum1(f);
  e += a;
  a = a + ((b & c) | (d & (b | c))) + sum0(b);
  h = h + load<u32>(at, 32) + (g ^ (e & (f ^ g))) + sum1(e);
  d += h;
  h = h + ((a & b) | (c & (a | b))) + sum0(a);
  g = g + load<u32>(at, 36) + (f ^ (d & (e ^ f))) + sum1(d);
  c += g;
  g = g + ((h & a) | (b & (h | a))) + sum0(h);
  f = f + load<u32>(at, 40) + (e ^ (c & (d ^ e))) + sum1(c);
  b += f;
  f = f + ((g & h) | (a & (g | h))) + sum0(g);
  e = e + load<u32>(at, 44) + (d ^ (b & (c ^ d))) + sum1(b);
  a += e;
  e = e + ((f & g) | (h & (f | g))) + sum0(f);
  d = d + load<u32>(at, 48) + (c ^ (a & (b ^ c))) + sum1(a);
  h += d;
  d = d + ((e & f) | (g & (e | f))) + sum0(e);
  c = c + load<u32>(at, 52) + (b ^ (h & (a ^ b))) + sum1(h);
  g += c;
  c = c + ((d & e) | (f & (d | e))) + sum0(d);
  b = b + load<u32>(at, 56) + (a ^ (g & (h ^ a))) + sum1(g);
  f += b;
  b = b + ((c & d) | (e & (c | d))) + sum0(c);
  a = a + load<u32>(at, 60) + (h ^ (f & (g ^ h))) + sum1(f);
  e += a;
  a = a + ((b & c) | (d & (b | c))) + sum0(b);
  store<u32>(state, load<u32>(state, 0) + a, 0);
  store<u32>(state, load<u32>(state, 4) + b, 4);
  store<u32>(state, load<u32>(state, 8) + c, 8);
  store<u32>(state, load<u32>(state, 12) + d, 12);
  store<u32>(state, load<u32>(state, 16) + e, 16);
  store<u32>(state, load<u32>(state, 20) + f, 20);
  store<u32>(state, load<u32>(state, 24) + g, 24);
  store<u32>(state, load<u32>(state, 28) + h, 28);
}

@inline
function sum0(x: u32): u32 {
  return rotr<u32>(x, 2) ^ rotr<u32>(x, 13) ^ rotr<u32>(x, 22);
}

@inline
function sum1(x: u32): u32 {
  return rotr<u32>(x, 6) ^ rotr<u32>(x, 11) ^ rotr<u32>(x, 25);
}
