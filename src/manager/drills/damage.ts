import { invalidInput } from '../../base/index.js';
import { BLOCK_BYTES } from '../../digest/index.js';
import { Pcg32 } from './pcg32.js';

/**
 * `bit`: one bit. `neighbours`: 2 to 8 bits in a row, also across a byte's end. `word`: all bits of an aligned word of four
 * bytes.
 * `block`: all bits of a block of 4096 bytes. `pair`: two bits of the same value, one from 0 to 1 and the other from 1 to
 * 0, so that no sum of bytes or of aligned words of 32 bits changes, nor their exclusive or.
 */
export type DrillPattern = 'bit' | 'neighbours' | 'word' | 'block' | 'pair';
/**
 * `data`: the shard's own bytes, with packed tensors also the zeros between them. `padding`: the zeros after the last
 * byte, to the end of its block. `both`: either.
 */
export type DrillArea = 'data' | 'padding' | 'both';

/** One bit of resident memory; bit 0 is a byte's lowest. */
export interface DrillFlip {
  /** From the shard's first byte; in the padding it is byteLength or more. */
  readonly byte: number;
  readonly bit: number;
  /** Where the layout is `tensors`: the tensor of that byte. */
  readonly tensor?: string;
  /** Bytes from that tensor's first byte; in the padding behind it, its byteLength or more. */
  readonly byteInTensor?: number;
  /** Where the layout is `tensors`: whether the byte is one of the zeros behind that tensor. */
  readonly padding?: boolean;
}

export interface DamagePlan {
  readonly byteLength: number;
  readonly flips: number;
  readonly patterns: readonly DrillPattern[];
  readonly area: DrillArea;
  readonly seed: number;
  /** Resident bytes; read only for pairs. */
  readonly read: (offset: number, length: number) => Promise<Uint8Array>;
}

/** Limit of one drill: a block has 32,768 bits. */
export const MAX_DRILL_BITS = 1_000_000;

/** Any pattern but a pair: one run of consecutive bits. */
type PlacedPattern = Exclude<DrillPattern, 'pair'>;

/** Consecutive bits, counted from the shard's first; `end` is exclusive. */
interface Place {
  readonly from: number;
  readonly end: number;
}

const WORD_BYTES = 4;
const WORD_BITS = WORD_BYTES * 8;
const BLOCK_BITS = BLOCK_BYTES * 8;
/** A pattern may begin at any multiple of these, or where the area does. */
const UNIT_BITS = { bit: 1, neighbours: 1, word: WORD_BITS, block: BLOCK_BITS } as const;
const MIN_NEIGHBOURS = 2;
const MAX_NEIGHBOURS = 8;
/** Random draws for one place before all places are searched in order. */
const MAX_DRAWS = 1_000;
/** Random pairs of blocks searched for differing bytes before all blocks are. */
const MAX_PAIR_DRAWS = 64;
/** Read at once then. */
const SEARCH_BYTES = 256 * BLOCK_BYTES;

/**
 * Draws the bits to flip. No bit is drawn twice: a second flip would restore it. Errors: INVALID_INPUT if there is no
 * room for it.
 */
export async function drawDamage(plan: DamagePlan): Promise<DrillFlip[]> {
  const damage = new Damage(plan);
  for (let hit = 0; hit < plan.flips; hit++) {
    const pattern = plan.patterns[hit % plan.patterns.length] ?? 'bit';
    await damage.add(pattern);
  }
  return damage.flips;
}

class Damage {
  readonly flips: DrillFlip[] = [];
  readonly #plan: DamagePlan;
  readonly #random: Pcg32;
  /** The area, in bits. */
  readonly #first: number;
  readonly #end: number;
  readonly #taken = new Set<number>();
  /** Blocks in which a bit is taken. */
  readonly #struck = new Set<number>();

  constructor(plan: DamagePlan) {
    const bits = plan.byteLength * 8;
    this.#plan = plan;
    this.#random = new Pcg32(plan.seed);
    this.#first = plan.area === 'padding' ? bits : 0;
    this.#end = plan.area === 'data' ? bits : Math.ceil(bits / BLOCK_BITS) * BLOCK_BITS;
    if (this.#first === this.#end) {
      throw invalidInput('area', 'is "padding", but the last byte of this shard ends its block');
    }
  }

  async add(pattern: DrillPattern): Promise<void> {
    if (pattern === 'pair') this.#take(await this.#pair());
    else this.#take(bitsOf(this.#draw(pattern)));
    if (this.flips.length > MAX_DRILL_BITS) {
      throw invalidInput('flips', `would flip more than ${MAX_DRILL_BITS} bits`);
    }
  }

  #draw(pattern: PlacedPattern): Place {
    const units = Math.ceil(this.#end / UNIT_BITS[pattern]) - this.#firstUnit(pattern);
    for (let draws = 0; draws < MAX_DRAWS; draws++) {
      const neighbours =
        pattern === 'neighbours'
          ? MIN_NEIGHBOURS + this.#random.below(MAX_NEIGHBOURS - MIN_NEIGHBOURS + 1)
          : 0;
      const place = this.#place(pattern, this.#random.below(units), neighbours);
      if (this.#isFree(place)) return place;
    }
    // The last free places are found by a search from a random one on.
    const start = this.#random.below(units);
    for (let step = 0; step < units; step++) {
      const place = this.#place(pattern, (start + step) % units, MIN_NEIGHBOURS);
      if (this.#isFree(place)) return place;
    }
    const bytes = (this.#end - this.#first) / 8;
    throw invalidInput('flips', `leaves no room for another "${pattern}" in ${bytes} bytes`);
  }

  /** The first unit that reaches into the area. */
  #firstUnit(pattern: PlacedPattern): number {
    return Math.floor(this.#first / UNIT_BITS[pattern]);
  }

  /**
   * `count` units from the area's first; a unit across the area's border counts only with its part inside. Neighbours
   * may reach beyond the area.
   */
  #place(pattern: PlacedPattern, index: number, neighbours: number): Place {
    const start = (this.#firstUnit(pattern) + index) * UNIT_BITS[pattern];
    const from = Math.max(start, this.#first);
    if (pattern === 'neighbours') return { from, end: from + neighbours };
    return { from, end: Math.min(start + UNIT_BITS[pattern], this.#end) };
  }

  #isFree({ from, end }: Place): boolean {
    if (end > this.#end) return false;
    // Only a block is longer than a word; checking all of its bits for every draw would take too long.
    if (end - from > WORD_BITS) return !this.#struck.has(Math.floor(from / BLOCK_BITS));
    for (let bit = from; bit < end; bit++) if (this.#taken.has(bit)) return false;
    return true;
  }

  async #pair(): Promise<number[]> {
    if (this.#plan.area !== 'data') throw invalidInput('patterns', '"pair" needs the area "data"');
    const blocks = Math.ceil(this.#plan.byteLength / BLOCK_BYTES);
    for (let draws = 0; draws < MAX_PAIR_DRAWS; draws++) {
      const [one, other] = [await this.#block(blocks), await this.#block(blocks)];
      const byte = this.#random.below(one.bytes.length);
      const bit = this.#random.below(8);
      const first = (one.offset + byte) * 8 + bit;
      const value = ((one.bytes[byte] ?? 0) >> bit) & 1;
      // Blocks are whole words, so a byte's place in its word is the same within its block.
      const others = placesLike(byte, other.bytes.length)
        .filter((at) => (((other.bytes[at] ?? 0) >> bit) & 1) !== value)
        .map((at) => (other.offset + at) * 8 + bit)
        .filter((at) => !this.#taken.has(at));
      const second = others[others.length === 0 ? 0 : this.#random.below(others.length)];
      if (second !== undefined && !this.#taken.has(first)) return [first, second];
    }
    return await this.#searchPair();
  }

  /** Any remaining pair. Reads the whole shard if necessary. */
  async #searchPair(): Promise<number[]> {
    const { byteLength, read } = this.#plan;
    const chunks = Math.ceil(byteLength / SEARCH_BYTES);
    const start = this.#random.below(chunks);
    // For each place in a word, the first free bit and its value.
    const firsts = new Map<number, number>();
    let word = 0;
    for (let step = 0; step < chunks; step++) {
      const offset = ((start + step) % chunks) * SEARCH_BYTES;
      const bytes = await read(offset, Math.min(SEARCH_BYTES, byteLength - offset));
      for (let at = 0; at < bytes.length; at++) {
        const value = bytes[at] ?? 0;
        const lane = (at % WORD_BYTES) * 8;
        // Largest shard that may be read to its end.
        if (firsts.size === WORD_BITS && value === ((word >>> lane) & 0xff)) continue;
        for (let bit = 0; bit < 8; bit++) {
          const here = (offset + at) * 8 + bit;
          if (this.#taken.has(here)) continue;
          const set = (value >> bit) & 1;
          const first = firsts.get(lane + bit);
          if (first === undefined) {
            firsts.set(lane + bit, here);
            word |= set << (lane + bit);
          } else if (((word >>> (lane + bit)) & 1) !== set) return [first, here];
        }
      }
    }
    throw invalidInput(
      'patterns',
      'has "pair", but no two words of this shard were found that differ in a bit',
    );
  }

  async #block(blocks: number): Promise<{ readonly offset: number; readonly bytes: Uint8Array }> {
    const offset = this.#random.below(blocks) * BLOCK_BYTES;
    const { byteLength, read } = this.#plan;
    return { offset, bytes: await read(offset, Math.min(BLOCK_BYTES, byteLength - offset)) };
  }

  #take(bits: readonly number[]): void {
    for (const bit of bits) {
      this.#taken.add(bit);
      this.#struck.add(Math.floor(bit / BLOCK_BITS));
      this.flips.push({ byte: Math.floor(bit / 8), bit: bit % 8 });
    }
  }
}

function bitsOf({ from, end }: Place): number[] {
  return Array.from({ length: end - from }, (_, index) => from + index);
}

/** Offsets with the same place in a word as `byte`. */
function placesLike(byte: number, length: number): number[] {
  const places: number[] = [];
  for (let at = byte % WORD_BYTES; at < length; at += WORD_BYTES) places.push(at);
  return places;
}
