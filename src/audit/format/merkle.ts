import { concatBytes, invalidInput } from '../../base/index.js';
import type { CryptoProvider } from '../../crypto/index.js';
import { Scratch } from './buffers.js';

export const HASH_BYTES = 32;
/** RFC 6962, section 2.1: domain separation of leaves and nodes. */
const LEAF_PREFIX = 0x00;
const NODE_PREFIX = 0x01;

type Hashing = Pick<CryptoProvider, 'sha256'>;

/** SHA-256(0x00 || entry). `scratch`: the caller's own, which waits before using it again. */
export function leafHash(crypto: Hashing, entry: Uint8Array, scratch?: Scratch): Promise<Uint8Array> {
  const input = scratch?.take(1 + entry.length) ?? new Uint8Array(1 + entry.length);
  input[0] = LEAF_PREFIX;
  input.set(entry, 1);
  return crypto.sha256(input);
}

/** SHA-256(0x01 || left || right). `scratch` as for leaves. */
export function nodeHash(
  crypto: Hashing,
  left: Uint8Array,
  right: Uint8Array,
  scratch?: Scratch,
): Promise<Uint8Array> {
  const input = scratch?.take(1 + 2 * HASH_BYTES) ?? new Uint8Array(1 + 2 * HASH_BYTES);
  input[0] = NODE_PREFIX;
  input.set(left, 1);
  input.set(right, 1 + HASH_BYTES);
  return crypto.sha256(input);
}

/** Cuts chunks of bytes into hashes. The last one is shorter where the bytes end within it. */
export async function* splitHashes(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  let rest: Uint8Array = new Uint8Array(0);
  for await (const chunk of chunks) {
    const bytes = concatBytes(rest, chunk);
    let at = 0;
    for (; at + HASH_BYTES <= bytes.length; at += HASH_BYTES) yield bytes.slice(at, at + HASH_BYTES);
    rest = bytes.slice(at);
  }
  if (rest.length > 0) yield rest;
}

/**
 * The leaves [begin, end) of a log as the hashes of the largest complete subtrees that tile them, left to right: at
 * most two for each level. A whole log is a range that begins at 0. Ranges that touch can be joined, so segments can be
 * hashed apart.
 */
export class CompactRange {
  readonly begin: number;
  readonly #crypto: Hashing;
  readonly #hashes: Uint8Array[];
  readonly #scratch = new Scratch(1 + 2 * HASH_BYTES);
  #end: number;

  constructor(crypto: Hashing, begin = 0, end = begin, hashes: readonly Uint8Array[] = []) {
    if (!Number.isSafeInteger(begin) || begin < 0)
      throw invalidInput('begin', 'must be an integer of at least 0');
    if (!Number.isSafeInteger(end) || end < begin)
      throw invalidInput('end', 'must be an integer of at least begin');
    if (
      hashes.length !== subtreeLevels(begin, end).length ||
      hashes.some((hash) => hash.length !== HASH_BYTES)
    ) {
      throw invalidInput('hashes', 'must be one hash of 32 bytes for each subtree of the range');
    }
    this.begin = begin;
    this.#crypto = crypto;
    this.#end = end;
    this.#hashes = [...hashes];
  }

  get end(): number {
    return this.#end;
  }

  get hashes(): readonly Uint8Array[] {
    return [...this.#hashes];
  }

  copy(): CompactRange {
    return new CompactRange(this.#crypto, this.begin, this.#end, this.#hashes);
  }

  /** Adds the next leaf. Not reentrant: each call waits for the one before. */
  async append(leaf: Uint8Array): Promise<void> {
    await this.#push(leaf, 0);
  }

  /** Adds the range that begins where this one ends. */
  async join(next: CompactRange): Promise<void> {
    if (next.begin !== this.#end) throw invalidInput('next', `must begin at ${this.#end}`);
    const levels = subtreeLevels(next.begin, next.end);
    for (const [index, hash] of next.#hashes.entries()) await this.#push(hash, levels[index] ?? 0);
  }

  /** The tree's root (RFC 6962, section 2.1). Only a range that begins at 0 has one. */
  async root(): Promise<Uint8Array> {
    if (this.begin !== 0) throw invalidInput('range', 'must begin at 0 to have a root');
    return foldRoot(this.#crypto, this.#hashes);
  }

  /** Changes nothing until all hashing is done, so a failure leaves the range as it was. */
  async #push(hash: Uint8Array, level: number): Promise<void> {
    const span = 2 ** level;
    let width = span;
    let index = this.#end / span;
    let merged = hash;
    let kept = this.#hashes.length;
    // An odd node completes the subtree that it shares with its left sibling, if that lies in this range.
    while (index % 2 === 1 && (index - 1) * width >= this.begin) {
      const left = this.#hashes[kept - 1];
      if (left === undefined) throw new Error('compact range lost a subtree');
      merged = await nodeHash(this.#crypto, left, merged, this.#scratch);
      kept -= 1;
      index = (index - 1) / 2;
      width *= 2;
    }
    this.#hashes.length = kept;
    this.#hashes.push(merged);
    this.#end += span;
  }
}

/** Root of subtrees that stand left to right, each smaller than the one before; SHA-256 of nothing for none. */
async function foldRoot(crypto: Hashing, hashes: readonly Uint8Array[]): Promise<Uint8Array> {
  let root = hashes.at(-1);
  if (root === undefined) return crypto.sha256(new Uint8Array(0));
  for (const left of hashes.slice(0, -1).reverse()) root = await nodeHash(crypto, left, root);
  return root;
}

/** Levels of the largest complete, aligned subtrees that tile [begin, end), left to right. */
export function subtreeLevels(begin: number, end: number): number[] {
  const levels: number[] = [];
  let at = begin;
  while (at < end) {
    let level = 0;
    while (at % 2 ** (level + 1) === 0 && at + 2 ** (level + 1) <= end) level += 1;
    levels.push(level);
    at += 2 ** level;
  }
  return levels;
}
