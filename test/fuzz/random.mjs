/** Repeatable randomness: every run of a target has its own, made of the seed and the run's number. */
export class Random {
  #state;

  constructor(seed, run) {
    // Mixed, so that neighbouring runs do not resemble each other (the finaliser of MurmurHash3).
    let state = (Math.imul(seed, 0x9e3779b1) ^ Math.imul(run + 1, 0x85ebca6b)) >>> 0;
    state = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
    state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35);
    this.#state = (state ^ (state >>> 16)) >>> 0 || 1;
  }

  /** A 32-bit unsigned integer. */
  next() {
    let state = this.#state;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state >>> 0;
    return this.#state;
  }

  /** An integer from 0 to `limit` - 1. */
  below(limit) {
    return this.next() % limit;
  }

  chance(percent) {
    return this.below(100) < percent;
  }

  pick(list) {
    return list[this.below(list.length)];
  }

  bytes(length) {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) bytes[i] = this.next();
    return bytes;
  }

  word() {
    return this.pick([
      'a',
      'b',
      'w.0',
      'blk.1.attn',
      'é',
      '\u{1f600}',
      'x'.repeat(40),
      '__proto__',
      'constructor',
      'value',
    ]);
  }
}

/** Numbers on which readers break. */
export const EDGES = [
  0n,
  1n,
  7n,
  8n,
  31n,
  32n,
  127n,
  128n,
  255n,
  256n,
  65535n,
  65536n,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 32n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 62n,
  2n ** 63n - 1n,
  2n ** 63n,
  2n ** 64n - 1n,
];

/** One to three blind changes: bits, bytes, numbers, pieces cut out, doubled, cut off or added. */
export function damage(bytes, random) {
  let result = new Uint8Array(bytes);
  for (let i = 1 + random.below(3); i > 0; i--) {
    const at = random.below(Math.min(result.length, random.chance(70) ? 400 : result.length) + 1);
    const length = Math.min(random.below(12), result.length - at);
    switch (random.below(6)) {
      case 0:
        if (at < result.length) result[at] ^= 1 << random.below(8);
        break;
      case 1:
        if (at < result.length) result[at] = random.next();
        break;
      case 2: {
        const number = new Uint8Array(8);
        new DataView(number.buffer).setBigUint64(0, random.pick(EDGES), true);
        result.set(number.subarray(0, Math.min(random.pick([1, 2, 4, 8]), result.length - at)), at);
        break;
      }
      case 3:
        result = splice(result, at, length, new Uint8Array(0));
        break;
      case 4:
        result = splice(result, at, 0, result.slice(at, at + length));
        break;
      default:
        result = random.chance(50)
          ? result.slice(0, at)
          : splice(result, result.length, 0, random.bytes(random.below(40)));
    }
  }
  return result;
}

function splice(bytes, at, remove, insert) {
  const result = new Uint8Array(bytes.length - remove + insert.length);
  result.set(bytes.subarray(0, at));
  result.set(insert, at);
  result.set(bytes.subarray(at + remove), at + insert.length);
  return result;
}
