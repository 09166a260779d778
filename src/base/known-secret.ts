import { toBase64, toBase64Url } from './base64.js';
import { toHex } from './hex.js';

/**
 * Finds known strings without keeping them: a rolling hash (Rabin-Karp) under a random base slides over the text, and a
 * second one confirms what it finds, 58 bits in all. Letter case and white space do not count, so that a secret broken into
 * lines is found too. A false match would only hide harmless text.
 */
export class KnownSecret {
  readonly #removed: string;
  /** One for each length, shortest first. */
  readonly #windows: readonly Window[];
  readonly #shortest: number;

  constructor(forms: readonly string[], removed: string) {
    this.#removed = removed;
    const bases = randomBases();
    const byLength = new Map<number, Uint16Array[]>();
    for (const form of forms) {
      const { units } = fold(form);
      if (units.length > 0) byLength.set(units.length, [...(byLength.get(units.length) ?? []), units]);
    }
    const lengths = [...byLength.keys()].sort((a, b) => a - b);
    this.#windows = lengths.map((length) => new Window(length, byLength.get(length) ?? [], bases));
    this.#shortest = lengths[0] ?? Number.POSITIVE_INFINITY;
  }

  remove(text: string): string {
    if (text.length < this.#shortest) return text;
    const { units, positions } = fold(text);
    const found = this.#windows.flatMap((window) => window.find(units)).sort((a, b) => a.start - b.start);
    const parts: string[] = [];
    let kept = 0;
    let hiddenTo = 0;
    for (const { start, end } of found) {
      const [first, last] = [positions[start] ?? 0, positions[end - 1] ?? 0];
      if (start >= hiddenTo) parts.push(text.slice(kept, first), this.#removed);
      kept = Math.max(kept, last + 1);
      hiddenTo = Math.max(hiddenTo, end);
    }
    return found.length === 0 ? text : parts.join('') + text.slice(kept);
  }
}

/**
 * The forms in which a token reaches text: as it is, in hexadecimal, base64 and base64url, as a list of numbers (what a
 * byte array turns into), and escaped for JSON and for URLs.
 */
export function writtenForms(token: Uint8Array): string[] {
  const text = new TextDecoder().decode(token);
  return [
    ...new Set([
      text,
      JSON.stringify(text).slice(1, -1),
      encodeURIComponent(text),
      toHex(token),
      toBase64(token).replace(/=+$/, ''),
      toBase64Url(token),
      token.join(','),
    ]),
  ];
}

interface Folded {
  readonly units: Uint16Array;
  /** The position of each unit in the text. */
  readonly positions: Uint32Array;
}

/** Lower case, without white space. */
function fold(text: string): Folded {
  const units = new Uint16Array(text.length);
  const positions = new Uint32Array(text.length);
  let length = 0;
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit <= 0x20) continue;
    units[length] = unit >= 0x41 && unit <= 0x5a ? unit + 0x20 : unit;
    positions[length] = index;
    length += 1;
  }
  return { units: units.subarray(0, length), positions: positions.subarray(0, length) };
}

/** The largest prime under 2^26, so that every product is exact in a double. */
const PRIME = 67_108_859;

interface Bases {
  /** Odd: the sliding hash counts modulo 2^32, which costs next to nothing. */
  readonly sliding: number;
  /** For the hash modulo a prime that confirms a match of the sliding hash. */
  readonly confirming: number;
}

function randomBases(): Bases {
  const [sliding = 0, confirming = 0] = crypto.getRandomValues(new Uint32Array(2));
  return { sliding: sliding | 1, confirming: 65_537 + (confirming % (PRIME - 131_072)) };
}

/** All known strings of one length. */
class Window {
  readonly #length: number;
  readonly #bases: Bases;
  /** base^length: the factor of the unit that leaves the window. */
  readonly #top: number;
  readonly #hashes: ReadonlyMap<number, ReadonlySet<number>>;

  constructor(length: number, secrets: readonly Uint16Array[], bases: Bases) {
    this.#length = length;
    this.#bases = bases;
    let top = 1;
    for (let i = 0; i < length; i += 1) top = Math.imul(top, bases.sliding);
    this.#top = top;
    const hashes = new Map<number, Set<number>>();
    for (const secret of secrets) {
      let sliding = 0;
      for (const unit of secret) sliding = (Math.imul(sliding, bases.sliding) + unit) | 0;
      hashes.set(sliding, (hashes.get(sliding) ?? new Set()).add(confirmingHash(secret, bases.confirming)));
    }
    this.#hashes = hashes;
  }

  /** Ascending; two of them do not overlap. */
  find(units: Uint16Array): { readonly start: number; readonly end: number }[] {
    const { sliding, confirming } = this.#bases;
    const length = this.#length;
    const found: { start: number; end: number }[] = [];
    if (units.length < length) return found;
    let value = 0;
    let free = 0;
    for (let end = 1; end <= units.length; end += 1) {
      const start = end - length;
      const leaving = start > 0 ? Math.imul(units[start - 1] ?? 0, this.#top) : 0;
      value = (Math.imul(value, sliding) + (units[end - 1] ?? 0) - leaving) | 0;
      if (start < free) continue;
      const hashes = this.#hashes.get(value);
      if (hashes?.has(confirmingHash(units.subarray(start, end), confirming)) === true) {
        found.push({ start, end });
        free = end;
      }
    }
    return found;
  }
}

function confirmingHash(units: Uint16Array, base: number): number {
  let value = 0;
  for (const unit of units) value = (value * base + unit) % PRIME;
  return value;
}
