const MULTIPLIER = 6364136223846793005n;
/** The reference implementation's demonstration stream: initseq 54. */
const STREAM = 54n;
const INCREMENT = (STREAM << 1n) | 1n;
const MASK_64 = 0xffff_ffff_ffff_ffffn;
const WORD = 2 ** 32;

/**
 * PCG32 (O'Neill 2014, "pcg32" of the reference implementation: XSH-RR 64/32, initstate = seed, initseq = 54). Drills draw
 * from it so that a seed names the same damage in every release. Not for secrets.
 */
export class Pcg32 {
  #state: bigint;

  /** `seed`: an integer from 0 to 2^53 - 1. */
  constructor(seed: number) {
    this.#state = 0n;
    this.next();
    this.#state = (this.#state + BigInt(seed)) & MASK_64;
    this.next();
  }

  /** The next 32 bits, as an integer from 0. */
  next(): number {
    const old = this.#state;
    this.#state = (old * MULTIPLIER + INCREMENT) & MASK_64;
    const shifted = Number((((old >> 18n) ^ old) >> 27n) & 0xffff_ffffn);
    const rotation = Number(old >> 59n);
    return ((shifted >>> rotation) | (shifted << (-rotation & 31))) >>> 0;
  }

  /**
   * An integer from 0 to `bound` - 1, each equally likely; `bound` is at most 2^53. Draws beyond the largest multiple are
   * thrown away.
   */
  below(bound: number): number {
    const wide = bound > WORD;
    const range = wide ? 2 ** 53 : WORD;
    const limit = range - (range % bound);
    for (;;) {
      const drawn = wide ? (this.next() % 2 ** 21) * WORD + this.next() : this.next();
      if (drawn < limit) return drawn % bound;
    }
  }
}
