import { describe, expect, it } from 'vitest';
import { Pcg32 } from '../../../../src/manager/drills/pcg32.js';

describe('the generator', () => {
  it('gives the published numbers of pcg32 (seed 42, stream 54)', () => {
    const random = new Pcg32(42);
    // pcg32-demo of the reference implementation, round 1.
    expect(Array.from({ length: 6 }, () => random.next().toString(16))).toEqual([
      'a15c02b7',
      '7b47f409',
      'ba1d3330',
      '83d2f293',
      'bfa4784b',
      'cbed606e',
    ]);
  });

  it('draws every number below a bound about equally often, also beyond 32 bits', () => {
    const random = new Pcg32(7);
    const counts = new Array<number>(10).fill(0);
    for (let draw = 0; draw < 10_000; draw++) {
      const value = random.below(10);
      counts[value] = (counts[value] ?? 0) + 1;
    }
    // Nine standard deviations of 30.
    for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(270);
    const wide = 2 ** 40 + 12_345;
    const draws = Array.from({ length: 2000 }, () => random.below(wide));
    expect(draws.every((value) => Number.isSafeInteger(value) && value >= 0 && value < wide)).toBe(true);
    expect(draws.filter((value) => value > wide / 2).length).toBeGreaterThan(800);
    expect(random.below(1)).toBe(0);
    // Of 2^32 outputs modulo 3 * 2^30 the lower third would come twice as often, if none were thrown away.
    const thirds = Array.from({ length: 3000 }, () => Math.floor(random.below(3 * 2 ** 30) / 2 ** 30));
    expect(thirds.filter((third) => third === 0).length).toBeLessThan(1200);
  });

  /** The reference implementation's pcg32_random_r and pcg32_srandom_r, with BigInt alone. */
  function reference(seed: number): () => number {
    const mask = (1n << 64n) - 1n;
    let state = 0n;
    const next = (): number => {
      const old = state;
      state = (old * 6364136223846793005n + 109n) & mask;
      const xorshifted = (((old >> 18n) ^ old) >> 27n) & 0xffffffffn;
      const rotation = old >> 59n;
      return Number(((xorshifted >> rotation) | (xorshifted << (32n - rotation))) & 0xffffffffn);
    };
    next();
    state = (state + BigInt(seed)) & mask;
    next();
    return next;
  }

  it.each([0, 1, 42, 2 ** 32, Number.MAX_SAFE_INTEGER])(
    'seed %d gives the numbers of the reference',
    (seed) => {
      const random = new Pcg32(seed);
      const expected = reference(seed);
      for (let draw = 0; draw < 300; draw++) expect(random.next()).toBe(expected());
    },
  );

  it.each([1, 2, 7, 3 * 2 ** 30, 2 ** 32 - 1, 2 ** 32])(
    'below %d takes one number of 32 bits at a time, and none beyond the last whole multiple',
    (bound) => {
      const random = new Pcg32(5);
      const next = reference(5);
      for (let draw = 0; draw < 100; draw++) {
        let drawn = next();
        while (drawn >= 2 ** 32 - (2 ** 32 % bound)) drawn = next();
        expect(random.below(bound)).toBe(drawn % bound);
      }
    },
  );

  it.each([2 ** 32 + 1, 3 * 2 ** 51, 2 ** 53])(
    'below %d takes 53 bits at a time, and none beyond the last whole multiple',
    (bound) => {
      const random = new Pcg32(6);
      const next = reference(6);
      const wide = (): bigint => BigInt(next() % 2 ** 21) * 2n ** 32n + BigInt(next());
      for (let draw = 0; draw < 100; draw++) {
        let drawn = wide();
        while (drawn >= 2n ** 53n - (2n ** 53n % BigInt(bound))) drawn = wide();
        expect(random.below(bound)).toBe(Number(drawn % BigInt(bound)));
      }
    },
  );
});
