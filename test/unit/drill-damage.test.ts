import { describe, expect, it } from 'vitest';
import { isVramError } from '../../src/base/errors.js';
import {
  type DamagePlan,
  type DrillArea,
  type DrillPattern,
  drawDamage,
} from '../../src/manager/drills/damage.js';
import { stride } from '../support/stride.js';
import { pattern, planOver } from './manager-fixture.js';

// Drills of an area to its last place: a place that is left is found, and "no room" is said only when there is none.

const BLOCK = 4096;

const draw = async (bytes: Uint8Array, rest: Partial<DamagePlan>): Promise<number[]> =>
  (await drawDamage(planOver(bytes, rest))).map(({ byte, bit }) => byte * 8 + bit);

/** As many hits as find room, and the refusal of one more. */
async function drawAll(bytes: Uint8Array, rest: Partial<DamagePlan>) {
  let [fits, refused] = [0, 1];
  let bits: number[] = [];
  let refusal: unknown;
  // Doubling until it is refused, then halving the gap: a drill of fewer hits is the beginning of one of more.
  while (refused - fits > 1 || refusal === undefined) {
    const flips = refusal === undefined ? refused : Math.floor((fits + refused) / 2);
    try {
      bits = await draw(bytes, { ...rest, flips });
      fits = flips;
      if (refusal === undefined) refused = 2 * flips;
    } catch (error) {
      refusal = error;
      refused = flips;
    }
  }
  return { hits: fits, bits, refusal };
}

/** The area's first bit and the one behind its last. */
function boundsOf(byteLength: number, area: DrillArea): [number, number] {
  const padded = Math.ceil(byteLength / BLOCK) * BLOCK;
  return [area === 'padding' ? byteLength * 8 : 0, (area === 'data' ? byteLength : padded) * 8];
}

describe('an area of which all is drawn', () => {
  it.each<[DrillPattern, DrillArea, number, number]>([
    ['bit', 'data', 301, 301 * 8],
    ['bit', 'padding', 2 * BLOCK - 301, 301 * 8],
    ['bit', 'both', BLOCK - 1, BLOCK * 8],
    ['word', 'data', 4 * 3000 + 1, 3001],
    ['word', 'padding', BLOCK + 6, 1023],
    ['word', 'both', 3 * BLOCK - 5, 3072],
    ['block', 'data', 5 * BLOCK + 1, 6],
    ['block', 'data', 5 * BLOCK, 5],
    ['block', 'padding', BLOCK + 1, 1],
    ['block', 'both', 5 * BLOCK + 1, 6],
  ])(
    '%s in %s of %d bytes: %d places, and each of their bits once',
    async (name, area, byteLength, places) => {
      for (let seed = 0; seed < 2; seed += stride(2)) {
        const bits = await draw(new Uint8Array(byteLength), { patterns: [name], area, seed, flips: places });
        const [first, end] = boundsOf(byteLength, area);
        expect(bits).toHaveLength(end - first);
        expect(new Set(bits).size).toBe(end - first);
        expect(bits.reduce((least, bit) => Math.min(least, bit))).toBe(first);
        expect(bits.reduce((most, bit) => Math.max(most, bit))).toBe(end - 1);
        const more = draw(new Uint8Array(byteLength), { patterns: [name], area, seed, flips: places + 1 });
        await expect(more).rejects.toMatchObject({
          code: 'INVALID_INPUT',
          argument: 'flips',
          message: `"flips" leaves no room for another "${name}" in ${(end - first) / 8} bytes`,
        });
      }
    },
  );

  it.each<[DrillArea, number]>([
    ['data', 700],
    ['padding', 2 * BLOCK - 700],
  ])('neighbours in %s of %d bytes: no two free bits in a row are left', async (area, byteLength) => {
    const { bits, refusal } = await drawAll(new Uint8Array(byteLength), { patterns: ['neighbours'], area });
    const [first, end] = boundsOf(byteLength, area);
    const taken = new Set(bits);
    expect(taken.size).toBe(bits.length);
    expect(bits.every((bit) => bit >= first && bit < end)).toBe(true);
    for (let bit = first; bit < end - 1; bit++) {
      if (!taken.has(bit) && !taken.has(bit + 1)) throw new Error(`bits ${bit} and ${bit + 1} are left`);
    }
    expect(isVramError(refusal, 'INVALID_INPUT')).toBe(true);
    expect(refusal).toMatchObject({ argument: 'flips' });
  });

  it('pairs: at each place in a word, the bits that are left have one value', async () => {
    for (const byteLength of [8, 41, 302]) {
      const bytes = pattern(byteLength);
      const value = (bit: number): number => ((bytes[bit >> 3] ?? 0) >> (bit & 7)) & 1;
      const { hits, bits, refusal } = await drawAll(bytes, { patterns: ['pair'] });
      const taken = new Set(bits);
      expect(taken.size).toBe(2 * hits);
      for (let hit = 0; hit < hits; hit++) {
        const [one = -1, other = -1] = bits.slice(2 * hit, 2 * hit + 2);
        expect([one % 32, value(one) + value(other)]).toEqual([other % 32, 1]);
      }
      for (let place = 0; place < 32; place++) {
        const left = new Set<number>();
        for (let bit = place; bit < byteLength * 8; bit += 32) if (!taken.has(bit)) left.add(value(bit));
        expect(left.size).toBeLessThan(2);
      }
      expect(isVramError(refusal, 'INVALID_INPUT')).toBe(true);
      expect(refusal).toMatchObject({ argument: 'patterns' });
    }
  });
});

describe('the last place', () => {
  it('of a block is the one in which no bit was taken', async () => {
    const refused: number[] = [];
    for (let seed = 0; seed < 40; seed++) {
      const rest = { patterns: ['bit', 'bit', 'block'], seed } as const;
      const bytes = new Uint8Array(2 * BLOCK + 9);
      const struck = (await draw(bytes, { ...rest, flips: 2 })).map((bit) => Math.floor(bit / 8 / BLOCK));
      const left = [0, 1, 2].filter((block) => !struck.includes(block));
      const [, , ...block] = await draw(bytes, { ...rest, flips: 3 });
      expect(left).toContain(Math.floor((block[0] ?? -1) / 8 / BLOCK));
      expect([BLOCK * 8, 9 * 8]).toContain(block.length);
      // Two bits and a block leave one block, or none.
      const last = draw(bytes, { ...rest, patterns: ['bit', 'bit', 'block', 'block'], flips: 4 });
      if (left.length === 2)
        expect(await last).toHaveLength(2 + 8 * (left.includes(2) ? BLOCK + 9 : 2 * BLOCK));
      else await expect(last).rejects.toMatchObject({ code: 'INVALID_INPUT', argument: 'flips' });
      if (left.length === 1) refused.push(seed);
    }
    expect(refused.length).toBeGreaterThan(0);
    expect(refused.length).toBeLessThan(40);
  });

  it('of a pair is found in any chunk, and behind words that are all alike', async () => {
    const word = Uint8Array.of(0x01, 0x82, 0x00, 0xc4);
    for (const [byteLength, lanes] of [
      [3 * BLOCK + 5, [0, 1, 2, 3]],
      [2 ** 20 + 8, [2]],
    ] as const) {
      const alike = Uint8Array.from({ length: byteLength }, (_, at) => word[at % 4] ?? 0);
      for (const byte of lanes.map((lane) => byteLength - (byteLength % 4) - 4 + lane)) {
        for (const [seed, mask] of [1, 0x80].entries()) {
          const bytes = alike.slice();
          bytes[byte] = (bytes[byte] ?? 0) ^ mask;
          const odd = byte * 8 + Math.log2(mask);
          const bits = await draw(bytes, { patterns: ['pair'], seed });
          expect(bits).toHaveLength(2);
          expect(bits).toContain(odd);
          expect(new Set(bits.map((bit) => bit % 32)).size).toBe(1);
          expect(new Set(bits).size).toBe(2);
          // All that the odd bit could be paired with remains, but it is taken.
          await expect(draw(bytes, { patterns: ['pair'], seed, flips: 2 })).rejects.toMatchObject({
            code: 'INVALID_INPUT',
            argument: 'patterns',
            message: '"patterns" has "pair", but no two words of this shard were found that differ in a bit',
          });
        }
      }
    }
  });

  it('of a pair is looked for from a chunk on that the seed chooses', async () => {
    const bytes = new Uint8Array(2 ** 20 + 2 * BLOCK);
    const begun = new Set<number>();
    for (let seed = 0; seed < 4; seed++) {
      const long: number[] = [];
      const read = async (offset: number, length: number): Promise<Uint8Array> => {
        if (length > BLOCK) long.push(offset);
        return bytes.slice(offset, offset + length);
      };
      await expect(draw(bytes, { patterns: ['pair'], seed, read })).rejects.toMatchObject({
        code: 'INVALID_INPUT',
      });
      expect([...long].sort((a, b) => a - b)).toEqual([0, 2 ** 20]);
      begun.add(long[0] ?? -1);
    }
    expect(begun.size).toBe(2);
  });
});
