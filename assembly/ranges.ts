// Maps a byte range to the segments of a region. Numbers arrive as JavaScript's own (f64): they are checked here, once, and
// turned into u64 only when they are known to be integers in [0, 2^53 - 1], so that no sum below can wrap.

const MAX_INTEGER: f64 = 9007199254740991;
const PAGE: usize = 65536;

// Statuses below zero; the caller names the argument.
const BAD_OFFSET: i32 = -1;
const BAD_LENGTH: i32 = -2;
const OUTSIDE: i32 = -3;
const BAD_SEGMENT: i32 = -4;
const TOO_LARGE: i32 = -5;

/** Bytes of one piece: segment, offset in it, length; f64 each. */
const PIECE: usize = 24;

let table: usize = 0;
let segments: i32 = 0;

/**
 * Where the table of `count` segments stands: count lengths (f64) to be written by the caller, then room for count pieces. 0
 * = no memory.
 */
export function reserve(count: i32): usize {
  table = __heap_base;
  segments = 0;
  const end = table + (<usize>count) * (8 + PIECE);
  const have = (<usize>memory.size()) * PAGE;
  if (end > have && memory.grow(<i32>((end - have + PAGE - 1) / PAGE)) < 0) return 0;
  return table;
}

/** Turns the lengths into ends, in place. 0, or BAD_SEGMENT or TOO_LARGE. */
export function setSegments(count: i32): i32 {
  segments = 0;
  let end: u64 = 0;
  for (let i: i32 = 0; i < count; i++) {
    const at = table + ((<usize>i) << 3);
    const length = load<f64>(at);
    if (!isCount(length)) return BAD_SEGMENT;
    end += <u64>length;
    if (end > <u64>MAX_INTEGER) return TOO_LARGE;
    store<u64>(at, end);
  }
  segments = count;
  return 0;
}

/** Pieces of [offset, offset + length), written behind the table; their number, or BAD_OFFSET, BAD_LENGTH, OUTSIDE. */
export function resolve(offset: f64, length: f64): i32 {
  if (!isCount(offset)) return BAD_OFFSET;
  if (!isCount(length)) return BAD_LENGTH;
  const total = segments == 0 ? 0 : endOf(segments - 1);
  let from = <u64>offset;
  let left = <u64>length;
  if (from > total) return BAD_OFFSET;
  // Not from + length > total: this cannot wrap.
  if (left > total - from) return OUTSIDE;

  let index = firstEndingAfter(from);
  let pieces: i32 = 0;
  let out = table + ((<usize>segments) << 3);
  while (left > 0) {
    const start = index == 0 ? 0 : endOf(index - 1);
    const end = endOf(index);
    const here = min(left, end - from);
    if (here > 0) {
      store<f64>(out, <f64>index);
      store<f64>(out, <f64>(from - start), 8);
      store<f64>(out, <f64>here, 16);
      out += PIECE;
      pieces++;
      from += here;
      left -= here;
    }
    index++;
  }
  return pieces;
}

/** Index of the first segment that ends after `from`. */
function firstEndingAfter(from: u64): i32 {
  let low: i32 = 0;
  let high = segments;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (endOf(middle) > from) high = middle;
    else low = middle + 1;
  }
  return low;
}

@inline
function endOf(index: i32): u64 {
  return load<u64>(table + ((<usize>index) << 3));
}

/** An integer in [0, 2^53 - 1]; false for NaN. Minus zero is zero. */
@inline
function isCount(value: f64): bool {
  return value >= 0 && value <= MAX_INTEGER && nearest(value) == value;
}
