import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CompactRange, leafHash } from '../../src/audit/format/merkle.js';
import {
  consistencyRanges,
  inclusionRanges,
  RangeHasher,
  verifyConsistency,
  verifyInclusion,
} from '../../src/audit/verify/proof.js';
import { nodeCrypto } from '../../src/node/crypto.js';
import { propertyRuns } from '../support/property-runs.js';
import { naiveConsistency, naivePath, naiveRoot } from '../unit/audit/oracle.js';

const entries = (count: number): Uint8Array[] =>
  Array.from({ length: count }, (_, index) => Uint8Array.of(index, index >> 8, 7));

async function hashesOf(
  all: readonly Uint8Array[],
  ranges: { begin: number; end: number }[],
): Promise<Uint8Array[]> {
  const hasher = new RangeHasher(nodeCrypto, ranges);
  for (const entry of all) await hasher.append(await leafHash(nodeCrypto, entry));
  return hasher.hashes(ranges);
}

const hex = (hashes: readonly Uint8Array[]): string[] =>
  hashes.map((hash) => Buffer.from(hash).toString('hex'));

describe('proofs (RFC 6962, RFC 9162)', () => {
  it('of inclusion are those of the definition, and verify, for every leaf of every tree up to 40', async () => {
    for (let size = 1; size <= 40; size++) {
      const all = entries(size);
      const root = naiveRoot(all);
      for (let index = 0; index < size; index++) {
        const hashes = await hashesOf(all, inclusionRanges(index, size));
        expect(hex(hashes)).toEqual(hex(naivePath(index, all)));
        const leaf = await leafHash(nodeCrypto, all[index] ?? new Uint8Array(0));
        expect(await verifyInclusion(nodeCrypto, { index, size, hashes }, leaf, root)).toBe(true);
      }
    }
  });

  it('of consistency are those of the definition, and verify, for every pair of sizes up to 40', async () => {
    const all = entries(40);
    for (let newSize = 1; newSize <= 40; newSize++) {
      const part = all.slice(0, newSize);
      const newRoot = naiveRoot(part);
      for (let oldSize = 1; oldSize <= newSize; oldSize++) {
        const hashes = await hashesOf(part, consistencyRanges(oldSize, newSize));
        expect(hex(hashes)).toEqual(hex(naiveConsistency(oldSize, part)));
        const oldRoot = naiveRoot(part.slice(0, oldSize));
        expect(await verifyConsistency(nodeCrypto, { oldSize, newSize, hashes }, oldRoot, newRoot)).toBe(
          true,
        );
      }
    }
  });

  it('do not verify once anything about them is changed', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 2, max: 600 }),
        fc.nat(),
        fc.nat(),
        fc.integer({ min: 0, max: 255 }),
        async (size, a, b, bit) => {
          const all = entries(size);
          const root = naiveRoot(all);
          const index = a % size;
          const hashes = naivePath(index, all);
          const leaf = await leafHash(nodeCrypto, all[index] ?? new Uint8Array(0));
          const holds = (
            proof: { index: number; size: number; hashes: Uint8Array[] },
            of = leaf,
            to: Uint8Array = root,
          ) => verifyInclusion(nodeCrypto, proof, of, to);
          expect(await holds({ index, size, hashes })).toBe(true);
          const other = (index + 1 + (b % (size - 1))) % size;
          const otherLeaf = await leafHash(nodeCrypto, all[other] ?? new Uint8Array(0));
          expect(await holds({ index, size, hashes }, otherLeaf)).toBe(false);
          expect(await holds({ index, size, hashes: flipped(hashes, b, bit) })).toBe(false);
          expect(await holds({ index, size, hashes: hashes.slice(1) })).toBe(false);
          expect(await holds({ index, size, hashes: [...hashes, Buffer.alloc(32)] })).toBe(false);
          expect(await holds({ index, size, hashes }, leaf, naiveRoot(all.slice(0, -1)))).toBe(false);
          expect(await holds({ index: size, size, hashes })).toBe(false);

          const oldSize = 1 + (b % (size - 1));
          const oldRoot = naiveRoot(all.slice(0, oldSize));
          const path = naiveConsistency(oldSize, all);
          const consistent = (proof: Uint8Array[], old: Uint8Array = oldRoot) =>
            verifyConsistency(nodeCrypto, { oldSize, newSize: size, hashes: proof }, old, root);
          expect(await consistent(path)).toBe(true);
          expect(await consistent(flipped(path, a, bit))).toBe(false);
          expect(await consistent(path.slice(1))).toBe(false);
          expect(await consistent([...path, Buffer.alloc(32)])).toBe(false);
          expect(await consistent(path, naiveRoot(all.slice(1, 1 + oldSize)))).toBe(false);
        },
      ),
      { numRuns: propertyRuns(25) },
    );
  });

  it('refuse sizes, indexes and hashes that cannot be', async () => {
    const root = naiveRoot(entries(3));
    const bad = [
      { index: -1, size: 3, hashes: [] },
      { index: 3, size: 3, hashes: [] },
      { index: 0.5, size: 3, hashes: [] },
      { index: 0, size: 3, hashes: [new Uint8Array(31), new Uint8Array(32)] },
      { index: 0, size: 2 ** 53, hashes: [] },
      { index: 0, size: 3, hashes: Array.from({ length: 200 }, () => new Uint8Array(32)) },
    ];
    for (const proof of bad) expect(await verifyInclusion(nodeCrypto, proof, root, root)).toBe(false);
    const cases = [
      { oldSize: 0, newSize: 3 },
      { oldSize: 4, newSize: 3 },
      { oldSize: 1, newSize: Number.NaN },
    ];
    for (const sizes of cases) {
      expect(await verifyConsistency(nodeCrypto, { ...sizes, hashes: [] }, root, root)).toBe(false);
    }
    expect(() => inclusionRanges(3, 3)).toThrow('index');
    expect(() => consistencyRanges(0, 3)).toThrow('oldSize');
  });

  it('join at random cuts to the same root', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 700 }),
        fc.array(fc.nat(700), { maxLength: 6 }),
        async (size, cuts) => {
          const all = entries(size);
          const places = [0, ...cuts.map((cut) => Math.min(cut, size)).sort((a, b) => a - b), size];
          const tree = new CompactRange(nodeCrypto);
          for (const [i, end] of places.entries()) {
            const range = new CompactRange(nodeCrypto, places[i - 1] ?? 0);
            for (const entry of all.slice(range.begin, end))
              await range.append(await leafHash(nodeCrypto, entry));
            await tree.join(range);
          }
          expect(hex([await tree.root()])).toEqual(hex([naiveRoot(all)]));
        },
      ),
      { numRuns: propertyRuns(40) },
    );
  });
});

function flipped(hashes: readonly Uint8Array[], which: number, bit: number): Uint8Array[] {
  return hashes.map((hash, index) => {
    const copy = Uint8Array.from(hash);
    if (index === which % hashes.length) copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    return copy;
  });
}
