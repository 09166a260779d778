import { BLOCK_BYTES } from '../digest/index.js';
import { invalidInput } from '../errors.js';
import { Pcg32 } from './pcg32.js';

/**
 * `bit`: one bit. `neighbours`: 2 to 8 bits in a row, also across a byte's end. `word`: all bits of an aligned word of four bytes.
 * `block`: all bits of a block of 4096 bytes. `pair`: two bits of the same value, one from 0 to 1 and the other from 1 to 0, so that no sum of bytes or of
 * aligned words of 32 bits changes, nor their exclusive or.
 */
export type DrillPattern = 'bit' | 'neighbours' | 'word' | 'block' | 'pair';
/** `data`: the shard's own bytes. `padding`: the zeros behind the last one, to the end of its block. `both`: either. */
export type DrillArea = 'data' | 'padding' | 'both';

/** One bit of resident memory; bit 0 is a byte's lowest. */
export interface DrillFlip {
  /** From the shard's first byte; in the padding it is byteLength or more. */
  readonly byte: number;
  readonly bit: number;
}

export interface DamagePlan {
  readonly byteLength: number;
  readonly flips: number;
  readonly patterns: readonly DrillPattern[];
  readonly area: DrillArea;
  readonly seed: number;
  /** Resident bytes; asked only for pairs. */
  readonly read: (offset: number, length: number) => Promise<Uint8Array>;
}

/** Of one drill: a block has 32,768 bits. */
export const MAX_DRILL_BITS = 1_000_000;

const WORD_BYTES = 4;
const MAX_NEIGHBOURS = 8;
/** Draws for one place before it is taken that there is none left. */
const MAX_DRAWS = 1_000;
/** Pairs of blocks looked at for bytes that differ. */
const MAX_PAIR_DRAWS = 64;

/** Draws what to flip. No bit comes twice: it would be whole again. Errors: INVALID_INPUT if there is no room for it. */
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
  readonly #first: number;
  readonly #end: number;
  readonly #taken = new Set<number>();

  constructor(plan: DamagePlan) {
    const padded = Math.ceil(plan.byteLength / BLOCK_BYTES) * BLOCK_BYTES;
    this.#plan = plan;
    this.#random = new Pcg32(plan.seed);
    this.#first = plan.area === 'padding' ? plan.byteLength : 0;
    this.#end = plan.area === 'data' ? plan.byteLength : padded;
    if (this.#first === this.#end) {
      throw invalidInput('area', 'is "padding", but the last byte of this shard ends its block');
    }
  }

  async add(pattern: DrillPattern): Promise<void> {
    if (pattern === 'pair') this.#take(await this.#pair());
    else this.#take(this.#draw(pattern));
    if (this.flips.length > MAX_DRILL_BITS) {
      throw invalidInput('flips', `would flip more than ${MAX_DRILL_BITS} bits`);
    }
  }

  #draw(pattern: Exclude<DrillPattern, 'pair'>): number[] {
    for (let draws = 0; draws < MAX_DRAWS; draws++) {
      const bits = this.#place(pattern);
      if (bits?.every((bit) => !this.#taken.has(bit))) return bits;
    }
    const bit = pattern === 'bit' ? this.#nextFree() : null;
    if (bit !== null) return [bit];
    throw invalidInput(
      'flips',
      `leaves no room for another "${pattern}" in ${this.#end - this.#first} bytes`,
    );
  }

  /** The last bits that are left are found by looking; null if there are none. */
  #nextFree(): number | null {
    const first = this.#first * 8;
    const bits = (this.#end - this.#first) * 8;
    if (this.#taken.size >= bits) return null;
    let offset = this.#random.below(bits);
    while (this.#taken.has(first + offset)) offset = (offset + 1) % bits;
    return first + offset;
  }

  /** The bits of one hit, counted from the shard's first; null if it would reach out of the area. */
  #place(pattern: Exclude<DrillPattern, 'pair'>): number[] | null {
    switch (pattern) {
      case 'bit':
        return [this.#first * 8 + this.#random.below((this.#end - this.#first) * 8)];
      case 'neighbours': {
        const count = 2 + this.#random.below(MAX_NEIGHBOURS - 1);
        const from = this.#first * 8 + this.#random.below((this.#end - this.#first) * 8);
        return from + count > this.#end * 8 ? null : bitsFrom(from, count);
      }
      case 'word':
        return this.#unit(WORD_BYTES);
      case 'block':
        return this.#unit(BLOCK_BYTES);
    }
  }

  /** An aligned unit; the part of it that lies in the area, where that begins or ends inside. */
  #unit(bytes: number): number[] {
    const firstUnit = Math.floor(this.#first / bytes);
    const unit = firstUnit + this.#random.below(Math.ceil(this.#end / bytes) - firstUnit);
    const from = Math.max(unit * bytes, this.#first);
    return bitsFrom(from * 8, (Math.min((unit + 1) * bytes, this.#end) - from) * 8);
  }

  async #pair(): Promise<number[]> {
    if (this.#plan.area !== 'data') throw invalidInput('patterns', '"pair" needs the area "data"');
    const blocks = Math.ceil(this.#end / BLOCK_BYTES);
    for (let draws = 0; draws < MAX_PAIR_DRAWS; draws++) {
      const [one, other] = [await this.#block(blocks), await this.#block(blocks)];
      const byte = this.#random.below(one.bytes.length);
      const bit = this.#random.below(8);
      const first = (one.offset + byte) * 8 + bit;
      const value = ((one.bytes[byte] ?? 0) >> bit) & 1;
      // Blocks are whole words, so bytes of one place in a word are that also inside their blocks.
      const others = placesLike(byte, other.bytes.length)
        .filter((at) => (((other.bytes[at] ?? 0) >> bit) & 1) !== value)
        .map((at) => (other.offset + at) * 8 + bit)
        .filter((at) => !this.#taken.has(at));
      const second = others[others.length === 0 ? 0 : this.#random.below(others.length)];
      if (second !== undefined && !this.#taken.has(first)) return [first, second];
    }
    throw invalidInput(
      'patterns',
      'has "pair", but no two words of this shard were found that differ in a bit',
    );
  }

  async #block(blocks: number): Promise<{ readonly offset: number; readonly bytes: Uint8Array }> {
    const offset = this.#random.below(blocks) * BLOCK_BYTES;
    return { offset, bytes: await this.#plan.read(offset, Math.min(BLOCK_BYTES, this.#end - offset)) };
  }

  #take(bits: readonly number[]): void {
    for (const bit of bits) {
      this.#taken.add(bit);
      this.flips.push({ byte: Math.floor(bit / 8), bit: bit % 8 });
    }
  }
}

function bitsFrom(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => first + index);
}

/** Offsets with the same place in a word as `byte`. */
function placesLike(byte: number, length: number): number[] {
  const places: number[] = [];
  for (let at = byte % WORD_BYTES; at < length; at += WORD_BYTES) places.push(at);
  return places;
}
