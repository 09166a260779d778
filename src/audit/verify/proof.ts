import { checkInteger, equalBytes, invalidInput } from '../../base/index.js';
import type { CryptoProvider } from '../../crypto/index.js';
import { CompactRange, HASH_BYTES, nodeHash } from '../format/index.js';

type Hashing = Pick<CryptoProvider, 'sha256'>;

/** The leaves [begin, end) of a log. */
export interface LeafRange {
  readonly begin: number;
  readonly end: number;
}

/** More hashes than any proof over 2^53 leaves has. */
const MAX_PROOF_HASHES = 2 * 53;

/**
 * The subtrees whose hashes prove that leaf `index` is in a tree of `size` leaves, from the leaf upwards (RFC 6962, section
 * 2.1.1, PATH). They do not overlap and cover everything but the leaf itself.
 */
export function inclusionRanges(index: number, size: number): LeafRange[] {
  checkInteger('size', size, 1);
  checkInteger('index', index, 0, size - 1);
  const ranges: LeafRange[] = [];
  let begin = 0;
  let end = size;
  while (end - begin > 1) {
    const middle = begin + splitPoint(end - begin);
    if (index < middle) {
      ranges.push({ begin: middle, end });
      end = middle;
    } else {
      ranges.push({ begin, end: middle });
      begin = middle;
    }
  }
  return ranges.reverse();
}

/**
 * The subtrees whose hashes prove that a tree of `oldSize` leaves is a prefix of one of `newSize` (RFC 6962, section 2.1.2,
 * PROOF).
 */
export function consistencyRanges(oldSize: number, newSize: number): LeafRange[] {
  checkInteger('newSize', newSize, 1);
  checkInteger('oldSize', oldSize, 1, newSize);
  const ranges: LeafRange[] = [];
  let begin = 0;
  let end = newSize;
  let whole = true;
  while (oldSize < end) {
    const middle = begin + splitPoint(end - begin);
    if (oldSize <= middle) {
      ranges.push({ begin: middle, end });
      end = middle;
    } else {
      ranges.push({ begin, end: middle });
      begin = middle;
      whole = false;
    }
  }
  if (!whole) ranges.push({ begin, end });
  return ranges.reverse();
}

/** The largest power of two below `width`. */
function splitPoint(width: number): number {
  let split = 1;
  while (split * 2 < width) split *= 2;
  return split;
}

/** Hashes ranges of leaves that stream by in order, in memory that does not grow with them. */
export class RangeHasher {
  readonly #trees: { readonly range: LeafRange; readonly tree: CompactRange }[];
  #cursor = 0;
  #next = 0;

  constructor(crypto: Hashing, ranges: readonly LeafRange[]) {
    this.#trees = ranges
      .map((range) => ({ range, tree: new CompactRange(crypto) }))
      .sort((a, b) => a.range.begin - b.range.begin);
  }

  /** Takes the next leaf of the log, from leaf 0 on. */
  async append(leaf: Uint8Array): Promise<void> {
    const index = this.#next++;
    let current = this.#trees[this.#cursor];
    while (current !== undefined && index >= current.range.end) current = this.#trees[++this.#cursor];
    if (current !== undefined && index >= current.range.begin) await current.tree.append(leaf);
  }

  /** The hashes of `ranges`, in their order. Errors: INVALID_INPUT where the leaves ended too early. */
  async hashes(ranges: readonly LeafRange[]): Promise<Uint8Array[]> {
    const hashes: Uint8Array[] = [];
    for (const { begin, end } of ranges) {
      const found = this.#trees.find(({ range }) => range.begin === begin && range.end === end);
      if (found === undefined || found.tree.end !== end - begin) {
        throw invalidInput('leaves', `must reach to ${end}`);
      }
      hashes.push(await found.tree.root());
    }
    return hashes;
  }
}

/** True if `hashes` lead from a leaf at `index` to the root of a tree of `size` leaves (RFC 9162, section 2.1.3.2). */
export async function verifyInclusion(
  crypto: Hashing,
  proof: { readonly index: number; readonly size: number; readonly hashes: readonly Uint8Array[] },
  leaf: Uint8Array,
  root: Uint8Array,
): Promise<boolean> {
  const { index, size, hashes } = proof;
  if (!isIndex(index) || !isIndex(size) || index >= size || !areHashes(hashes)) return false;
  let node = index;
  let last = size - 1;
  let hash = leaf;
  for (const sibling of hashes) {
    if (last === 0) return false;
    if (node % 2 === 1 || node === last) {
      hash = await nodeHash(crypto, sibling, hash);
      // A node without a right sibling rises until it is one itself.
      while (node % 2 === 0 && node !== 0) {
        node /= 2;
        last = Math.floor(last / 2);
      }
    } else {
      hash = await nodeHash(crypto, hash, sibling);
    }
    node = Math.floor(node / 2);
    last = Math.floor(last / 2);
  }
  return last === 0 && equalBytes(hash, root);
}

/** True if `hashes` prove that the tree with `oldRoot` is a prefix of the one with `newRoot` (RFC 9162, section 2.1.4.2). */
export async function verifyConsistency(
  crypto: Hashing,
  proof: { readonly oldSize: number; readonly newSize: number; readonly hashes: readonly Uint8Array[] },
  oldRoot: Uint8Array,
  newRoot: Uint8Array,
): Promise<boolean> {
  const { oldSize, newSize } = proof;
  if (!isIndex(oldSize) || !isIndex(newSize) || oldSize < 1 || oldSize > newSize) return false;
  if (!areHashes(proof.hashes)) return false;
  if (oldSize === newSize) return proof.hashes.length === 0 && equalBytes(oldRoot, newRoot);

  // A complete old tree is a node of the new one and is omitted from the proof.
  const hashes = isPowerOfTwo(oldSize) ? [oldRoot, ...proof.hashes] : [...proof.hashes];
  let node = oldSize - 1;
  let last = newSize - 1;
  while (node % 2 === 1) {
    node = Math.floor(node / 2);
    last = Math.floor(last / 2);
  }
  const first = hashes.shift();
  if (first === undefined) return false;
  let oldHash = first;
  let newHash = first;
  for (const hash of hashes) {
    if (last === 0) return false;
    if (node % 2 === 1 || node === last) {
      oldHash = await nodeHash(crypto, hash, oldHash);
      newHash = await nodeHash(crypto, hash, newHash);
      while (node % 2 === 0 && node !== 0) {
        node /= 2;
        last = Math.floor(last / 2);
      }
    } else {
      newHash = await nodeHash(crypto, newHash, hash);
    }
    node = Math.floor(node / 2);
    last = Math.floor(last / 2);
  }
  return last === 0 && equalBytes(oldHash, oldRoot) && equalBytes(newHash, newRoot);
}

function isIndex(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function areHashes(hashes: readonly Uint8Array[]): boolean {
  return hashes.length <= MAX_PROOF_HASHES && hashes.every((hash) => hash.length === HASH_BYTES);
}

function isPowerOfTwo(value: number): boolean {
  return Number.isInteger(Math.log2(value)) && 2 ** Math.round(Math.log2(value)) === value;
}
