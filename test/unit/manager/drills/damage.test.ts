import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { isVramError } from '../../../../src/base/errors.js';
import {
  type DamagePlan,
  type DrillArea,
  type DrillPattern,
  drawDamage,
  MAX_DRILL_BITS,
} from '../../../../src/manager/drills/damage.js';
import { Pcg32 } from '../../../../src/manager/drills/pcg32.js';
import { stride } from '../../../support/stride.js';
import { pattern, planOver } from '../fixture.js';

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

const run = (from: number, count: number): number[] => Array.from({ length: count }, (_, at) => from + at);

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

describe('what is drawn', () => {
  it.each([
    ['bit', 'data', '5cc9bb396dd35798'],
    ['bit', 'padding', 'd54b5c46cad1a781'],
    ['bit', 'both', '627d75bbdb3f0179'],
    ['neighbours', 'data', 'eb89647212a10fce'],
    ['neighbours', 'padding', '4706a747185e2939'],
    ['neighbours', 'both', '61b190b7d33d4220'],
    ['word', 'data', '63ad2d6af45af49e'],
    ['word', 'padding', 'fcbf62008735d1df'],
    ['word', 'both', '9f9e3b9ada544221'],
    ['block', 'data', 'b51a032720864b40'],
    ['block', 'both', 'fa3f9c11b80b6d0f'],
    ['pair', 'data', 'ed04fbda26527d1a'],
  ] as const)('keeps its choice from release to release: %s in %s', async (name, area, digest) => {
    const hash = createHash('sha256');
    for (const byteLength of [1, 4, 31, BLOCK + 6, 3 * BLOCK - 1]) {
      for (const seed of [0, 1, 2]) {
        try {
          hash.update(
            (
              await draw(pattern(byteLength), {
                patterns: [name],
                area,
                seed,
                flips: name === 'block' ? 1 : 3,
              })
            ).join(),
          );
        } catch (error) {
          hash.update(String(error));
        }
      }
    }
    expect(hash.digest('hex').slice(0, 16)).toBe(digest);
  });

  it('one place in a thousand draws, or the first that is left from another draw on', async () => {
    // The last words of many: each seed comes to draws that all fail.
    const words = 4000;
    for (const seed of [1, 2, 3]) {
      const random = new Pcg32(seed);
      const taken = new Set<number>();
      let looked = 0;
      while (taken.size < words) {
        let word = random.below(words);
        for (let draws = 1; draws < 1000 && taken.has(word); draws++) word = random.below(words);
        if (taken.has(word)) {
          looked++;
          word = random.below(words);
          while (taken.has(word)) word = (word + 1) % words;
        }
        taken.add(word);
      }
      expect(looked).toBeGreaterThan(0);
      const bits = await draw(new Uint8Array(4 * words), { patterns: ['word'], flips: words, seed });
      expect(bits.filter((bit) => bit % 32 === 0).map((bit) => bit / 32)).toEqual([...taken]);
    }
  });

  it('for a pair 64 draws, then one for the chunk to begin with: what is drawn next shows it', async () => {
    // One bit of the shard differs: nearly no draw meets it.
    const bytes = new Uint8Array(3 * BLOCK);
    bytes[2 * BLOCK + 5] = 4;
    const odd = (2 * BLOCK + 5) * 8 + 2;
    for (const seed of [1, 2, 3]) {
      const [one, other, next] = await draw(bytes, { patterns: ['pair', 'bit'], flips: 2, seed });
      expect([one, other]).toEqual([8 + 2, odd]);
      const random = new Pcg32(seed);
      for (let draws = 0; draws < 64; draws++) {
        const [first, second] = [random.below(3), random.below(3)];
        const [byte, bit] = [random.below(BLOCK), random.below(8)];
        const met = second === 2 || (first === 2 && byte === 5);
        expect(met && byte % 4 === 1 && bit === 2).toBe(false);
      }
      random.below(1);
      expect(next).toBe(random.below(3 * BLOCK * 8));
    }
  });

  it('the same seed draws in turns what the patterns say', async () => {
    const flips = await drawDamage(
      planOver(pattern(2 * BLOCK), { flips: 5, patterns: ['bit', 'word'], seed: 3 }),
    );
    expect(flips).toHaveLength(1 + 32 + 1 + 32 + 1);
  });

  it('neighbours are 2 to 8 bits, each number of them, and reach the last bit and none beyond', async () => {
    const counts = new Set<number>();
    const ends = new Set<number>();
    for (let seed = 0; seed < 150; seed++) {
      const bits = await draw(pattern(2), { patterns: ['neighbours'], seed });
      expect(bits).toEqual(run(bits[0] ?? -1, bits.length));
      counts.add(bits.length);
      ends.add((bits[0] ?? -1) + bits.length);
    }
    expect([...counts].sort()).toEqual([2, 3, 4, 5, 6, 7, 8]);
    expect(Math.max(...ends)).toBe(16);
  });

  it('of a word or block that the area cuts, the part inside', async () => {
    for (let seed = 0; seed < 12; seed++) {
      expect([run(0, 32), run(32, 8)]).toContainEqual(await draw(pattern(5), { patterns: ['word'], seed }));
    }
    // The last three bytes of the block are padding.
    expect(await draw(pattern(4093), { patterns: ['word'], area: 'padding' })).toEqual(run(4093 * 8, 24));
    expect(await draw(pattern(4097), { patterns: ['block'], area: 'padding' })).toEqual(
      run(4097 * 8, 4095 * 8),
    );
    const blocks = new Set<string>();
    for (let seed = 0; seed < 12; seed++) {
      const bits = await draw(pattern(4097), { patterns: ['block'], seed });
      expect(bits).toEqual(bits[0] === 0 ? run(0, BLOCK * 8) : run(BLOCK * 8, 8));
      blocks.add(String(bits[0]));
    }
    expect(blocks.size).toBe(2);
  });

  it('the last free bits are found by looking, before and behind the one that was drawn', async () => {
    for (const area of ['data', 'padding'] as const) {
      const bytes = pattern(area === 'data' ? 3 : BLOCK - 3);
      const bits = await draw(bytes, { flips: 24, area, seed: 2 });
      expect([...bits].sort((a, b) => a - b)).toEqual(run(area === 'data' ? 0 : (BLOCK - 3) * 8, 24));
      await expect(draw(bytes, { flips: 25, area, seed: 2 })).rejects.toMatchObject({
        code: 'INVALID_INPUT',
        argument: 'flips',
        message: '"flips" leaves no room for another "bit" in 3 bytes',
      });
    }
  });

  it('patterns that find no room say so, with what there is', async () => {
    await expect(draw(pattern(200), { flips: 2, patterns: ['block'] })).rejects.toMatchObject({
      message: '"flips" leaves no room for another "block" in 200 bytes',
    });
    await expect(draw(pattern(BLOCK), { area: 'padding' })).rejects.toMatchObject({
      argument: 'area',
      message: '"area" is "padding", but the last byte of this shard ends its block',
    });
  });

  it('at most a million bits', async () => {
    const bytes = new Uint8Array(200 * BLOCK);
    await expect(draw(bytes, { patterns: ['block'], flips: 31 })).rejects.toMatchObject({
      argument: 'flips',
      message: `"flips" would flip more than ${MAX_DRILL_BITS} bits`,
    });
    expect(MAX_DRILL_BITS).toBe(1_000_000);
    const words = new Uint8Array(2 ** 22);
    expect(await draw(words, { patterns: ['word'], flips: 31_250 })).toHaveLength(1_000_000);
    await expect(draw(words, { patterns: ['word'], flips: 31_251 })).rejects.toMatchObject({
      code: 'INVALID_INPUT',
    });
  });
});

describe('pairs', () => {
  it('are bits of the same value and place in a word, one set and one clear, in any two blocks', async () => {
    const bytes = pattern(BLOCK + 7);
    const value = (bit: number): number => ((bytes[bit >> 3] ?? 0) >> (bit & 7)) & 1;
    const blocks = new Set<string>();
    for (let seed = 0; seed < 60; seed++) {
      const [one = -1, other = -1, ...more] = await draw(bytes, { patterns: ['pair'], seed });
      expect(more).toEqual([]);
      expect(value(one) + value(other)).toBe(1);
      expect(one % 32).toBe(other % 32);
      expect(Math.max(one, other)).toBeLessThan(bytes.length * 8);
      blocks.add(`${one >> 15} ${other >> 15}`);
    }
    expect([...blocks].sort()).toEqual(['0 0', '0 1', '1 0', '1 1']);
  });

  it('read whole blocks, the last one as far as it goes, and nothing for other patterns', async () => {
    const bytes = pattern(BLOCK + 7);
    const reads = new Set<string>();
    const read = async (offset: number, length: number): Promise<Uint8Array> => {
      reads.add(`${offset} ${length}`);
      return bytes.slice(offset, offset + length);
    };
    await draw(bytes, { read, flips: 4, patterns: ['bit', 'neighbours', 'word', 'block'] });
    expect([...reads]).toEqual([]);
    await draw(bytes, { read, flips: 10, patterns: ['pair'] });
    expect([...reads].sort()).toEqual(['0 4096', '4096 7']);
  });

  it('take no bit that was taken', async () => {
    // The two halves differ in each bit: 32 pairs use up all of them.
    const bytes = Uint8Array.from([0, 0, 0, 0, 255, 255, 255, 255]);
    const bits = await draw(bytes, { patterns: ['pair'], flips: 20, seed: 1 });
    expect(new Set(bits).size).toBe(40);
  });

  it('need the area "data", and bytes that differ', async () => {
    for (const area of ['both', 'padding'] as const) {
      await expect(draw(pattern(10), { patterns: ['pair'], area })).rejects.toMatchObject({
        argument: 'patterns',
        message: '"patterns" "pair" needs the area "data"',
      });
    }
    await expect(draw(new Uint8Array(100), { patterns: ['pair'] })).rejects.toMatchObject({
      argument: 'patterns',
      message: '"patterns" has "pair", but no two words of this shard were found that differ in a bit',
    });
  });
});
