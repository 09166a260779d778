import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { signCheckpoint } from '../../../../src/audit/format/checkpoint.js';
import { leafHash } from '../../../../src/audit/format/merkle.js';
import { formatVerifierKey, verifierKey } from '../../../../src/audit/format/note.js';
import {
  consistencyRanges,
  inclusionRanges,
  type LeafRange,
  RangeHasher,
  verifyConsistency,
  verifyInclusion,
} from '../../../../src/audit/verify/proof.js';
import { type ProofReport, verifyProofDocument } from '../../../../src/audit/verify/proof-document.js';
import type { CryptoProvider } from '../../../../src/crypto/provider.js';
import { nodeCrypto } from '../../../../src/node/crypto.js';
import { refusal } from '../../../support/refusal.js';
import { naiveConsistency, naivePath, naiveRoot } from '../oracle.js';
import { testSigner } from '../signer.js';
import { makeVectors } from '../vectors.js';

const LARGEST = Number.MAX_SAFE_INTEGER;

const entries = (count: number): Uint8Array[] =>
  Array.from({ length: count }, (_, index) => Uint8Array.of(index));

const pairs = (ranges: readonly LeafRange[]): number[][] => ranges.map(({ begin, end }) => [begin, end]);

/** An arbitrary hash that stands for a subtree. */
const named = (name: string): Uint8Array => new Uint8Array(createHash('sha256').update(name).digest());

/** The root of the leaves [begin, end) by RFC 6962, where the given subtrees have hashes by their names. */
function rootOf(begin: number, end: number, known: ReadonlySet<string>): Uint8Array {
  const name = `${begin}-${end}`;
  if (known.has(name)) return named(name);
  let split = 1;
  while (split * 2 < end - begin) split *= 2;
  const left = rootOf(begin, begin + split, known);
  const right = rootOf(begin + split, end, known);
  return new Uint8Array(createHash('sha256').update(Uint8Array.of(1)).update(left).update(right).digest());
}

const nameOf = ({ begin, end }: LeafRange): string => `${begin}-${end}`;

/** A provider that counts how often it hashes. */
function counting(): { readonly crypto: CryptoProvider; readonly count: () => number } {
  let count = 0;
  const sha256 = (bytes: Uint8Array): Promise<Uint8Array> => {
    count += 1;
    return nodeCrypto.sha256(bytes);
  };
  return { crypto: { ...nodeCrypto, sha256 }, count: () => count };
}

describe('the subtrees of a proof', () => {
  it('are those of RFC 6962, from the leaf upwards', () => {
    expect(pairs(inclusionRanges(0, 1))).toEqual([]);
    expect(pairs(inclusionRanges(0, 2))).toEqual([[1, 2]]);
    expect(pairs(inclusionRanges(1, 2))).toEqual([[0, 1]]);
    expect(pairs(inclusionRanges(3, 7))).toEqual([
      [2, 3],
      [0, 2],
      [4, 7],
    ]);
    expect(pairs(inclusionRanges(6, 7))).toEqual([
      [4, 6],
      [0, 4],
    ]);
    expect(pairs(consistencyRanges(3, 3))).toEqual([]);
    expect(pairs(consistencyRanges(4, 7))).toEqual([[4, 7]]);
    expect(pairs(consistencyRanges(3, 7))).toEqual([
      [2, 3],
      [3, 4],
      [0, 2],
      [4, 7],
    ]);
    expect(pairs(consistencyRanges(6, 7))).toEqual([
      [4, 6],
      [6, 7],
      [0, 4],
    ]);
  });

  it.each<[string, () => unknown, string]>([
    ['no tree', () => inclusionRanges(0, 0), '"size" must be an integer of at least 1, got 0'],
    ['a leaf behind it', () => inclusionRanges(3, 3), '"index" must be an integer from 0 to 2, got 3'],
    ['a leaf before it', () => inclusionRanges(-1, 3), '"index" must be an integer from 0 to 2, got -1'],
    ['no new tree', () => consistencyRanges(1, 0), '"newSize" must be an integer of at least 1, got 0'],
    ['no old tree', () => consistencyRanges(0, 3), '"oldSize" must be an integer from 1 to 3, got 0'],
    ['a larger old tree', () => consistencyRanges(4, 3), '"oldSize" must be an integer from 1 to 3, got 4'],
  ])('of %s are not asked for', async (_, action, problem) => {
    expect(await refusal(action)).toBe(`INVALID_INPUT: ${problem}`);
  });

  it('are hashed as the leaves stream by, and given in the order asked for', async () => {
    const all = entries(9);
    const ranges = [
      { begin: 6, end: 8 },
      { begin: 1, end: 2 },
      { begin: 2, end: 5 },
    ];
    const hasher = new RangeHasher(nodeCrypto, ranges);
    const feed = async (from: number, to: number): Promise<void> => {
      for (const entry of all.slice(from, to)) await hasher.append(await leafHash(nodeCrypto, entry));
    };
    await feed(0, 7);
    expect(await refusal(() => hasher.hashes(ranges))).toBe('INVALID_INPUT: "leaves" must reach to 8');
    await feed(7, 9);
    const expected = (asked: readonly LeafRange[]): Uint8Array[] =>
      asked.map(({ begin, end }) => new Uint8Array(naiveRoot(all.slice(begin, end))));
    expect(await hasher.hashes(ranges)).toEqual(expected(ranges));
    expect(await hasher.hashes(ranges.toReversed())).toEqual(expected(ranges.toReversed()));
    expect(await hasher.hashes([])).toEqual([]);
    for (const other of [
      { begin: 1, end: 3 },
      { begin: 3, end: 5 },
    ]) {
      expect(await refusal(() => hasher.hashes([other]))).toBe(
        `INVALID_INPUT: "leaves" must reach to ${other.end}`,
      );
    }
  });
});

describe('a proof of inclusion', () => {
  it('holds for its leaf, its place and its tree alone', async () => {
    const all = entries(7);
    const root = naiveRoot(all);
    const leaf = await leafHash(nodeCrypto, all[3] ?? new Uint8Array(0));
    const hashes = naivePath(3, all);
    const holds = (changed: object, to: Uint8Array = root): Promise<boolean> =>
      verifyInclusion(nodeCrypto, { index: 3, size: 7, hashes, ...changed }, leaf, to);
    expect(await holds({})).toBe(true);
    for (const changed of [
      { index: 2 },
      { index: -1 },
      { index: 3.5 },
      { index: 7 },
      { size: 3 },
      { size: 4 },
      { size: 16 },
      { size: 7.5 },
      { size: 0, index: 0 },
      { hashes: [] },
      { hashes: hashes.slice(0, -1) },
      { hashes: [...hashes, Buffer.alloc(32)] },
      { hashes: hashes.with(0, Buffer.alloc(33)) },
      { hashes: hashes.toReversed() },
    ]) {
      expect(await holds(changed), JSON.stringify(changed)).toBe(false);
    }
    expect(await holds({}, root.subarray(0, 31))).toBe(false);
    expect(await holds({}, naiveRoot(all.slice(0, 6)))).toBe(false);
    const only = { index: 0, size: 1, hashes: [] };
    expect(await verifyInclusion(nodeCrypto, only, leaf, leaf)).toBe(true);
    expect(await verifyInclusion(nodeCrypto, only, leaf, root)).toBe(false);
    expect(await verifyInclusion(nodeCrypto, { ...only, hashes: [leaf] }, leaf, leaf)).toBe(false);
    expect(await verifyInclusion(nodeCrypto, { ...only, index: 1 }, leaf, leaf)).toBe(false);
  });

  it('holds in the largest tree, and is not looked at with more hashes than any has', async () => {
    for (const index of [0, 1, 2 ** 52 - 1, 2 ** 52, LARGEST - 2, LARGEST - 1]) {
      const ranges = inclusionRanges(index, LARGEST);
      const known = new Set([...ranges.map(nameOf), `${index}-${index + 1}`]);
      const proof = { index, size: LARGEST, hashes: ranges.map((range) => named(nameOf(range))) };
      const leaf = named(`${index}-${index + 1}`);
      expect(await verifyInclusion(nodeCrypto, proof, leaf, rootOf(0, LARGEST, known)), String(index)).toBe(
        true,
      );
      expect(await verifyInclusion(nodeCrypto, { ...proof, size: LARGEST + 1 }, leaf, leaf)).toBe(false);
    }
    const tooMany = (length: number) => ({
      index: 1,
      size: LARGEST,
      hashes: Array.from({ length }, () => new Uint8Array(32)),
    });
    for (const [length, hashed] of [
      [106, 53],
      [107, 0],
    ] as const) {
      const { crypto, count } = counting();
      expect(await verifyInclusion(crypto, tooMany(length), named('a'), named('b'))).toBe(false);
      expect(count()).toBe(hashed);
    }
  });
});

describe('a proof of consistency', () => {
  it('holds for its two trees alone', async () => {
    const all = entries(9);
    const root = (size: number): Buffer => naiveRoot(all.slice(0, size));
    const check = (
      oldSize: number,
      newSize: number,
      hashes: readonly Uint8Array[],
      oldRoot = root(oldSize),
      newRoot = root(newSize),
    ) => verifyConsistency(nodeCrypto, { oldSize, newSize, hashes }, oldRoot, newRoot);
    const proof = (oldSize: number, newSize: number): Buffer[] =>
      naiveConsistency(oldSize, all.slice(0, newSize));
    for (const [oldSize, newSize] of [
      [1, 2],
      [2, 3],
      [3, 4],
      [4, 9],
      [5, 9],
      [6, 7],
      [7, 8],
      [8, 9],
    ] as const) {
      const hashes = proof(oldSize, newSize);
      const what = `${oldSize} in ${newSize}`;
      expect(await check(oldSize, newSize, hashes), what).toBe(true);
      expect(await check(oldSize, newSize, [...hashes, Buffer.alloc(32)]), what).toBe(false);
      expect(await check(oldSize, newSize, hashes.slice(0, -1)), what).toBe(false);
      expect(await check(oldSize, newSize, hashes.with(0, Buffer.alloc(32))), what).toBe(false);
      expect(await check(oldSize, newSize, hashes.with(0, Buffer.alloc(31))), what).toBe(false);
      expect(await check(oldSize, newSize, hashes, Buffer.alloc(32)), what).toBe(false);
      expect(await check(oldSize, newSize, hashes, root(oldSize), Buffer.alloc(32)), what).toBe(false);
      expect(await check(newSize, oldSize, hashes, root(oldSize), root(newSize)), what).toBe(false);
    }
    expect(await check(3, 3, [])).toBe(true);
    expect(await check(3, 3, [Buffer.alloc(32)])).toBe(false);
    expect(await check(3, 3, [], root(3), root(2))).toBe(false);
    expect(await check(3, 4, [])).toBe(false);
    expect(await check(0, 3, [])).toBe(false);
    expect(await check(0, 0, [])).toBe(false);
    expect(await check(1.5, 3, [])).toBe(false);
    expect(await check(1, 3.5, [])).toBe(false);
    expect(await check(LARGEST + 1, LARGEST + 1, [], root(3), root(3))).toBe(false);
  });

  it('holds in the largest tree, and is not looked at with more hashes than any has', async () => {
    for (const oldSize of [1, 2 ** 52 - 1, 2 ** 52, 2 ** 52 + 1, LARGEST - 1]) {
      const ranges = consistencyRanges(oldSize, LARGEST);
      const known = new Set(ranges.map(nameOf));
      if (Number.isInteger(Math.log2(oldSize)) && 2 ** Math.log2(oldSize) === oldSize)
        known.add(`0-${oldSize}`);
      const hashes = ranges.map((range) => named(nameOf(range)));
      const roots = [rootOf(0, oldSize, known), rootOf(0, LARGEST, known)] as const;
      const proof = { oldSize, newSize: LARGEST, hashes };
      expect(await verifyConsistency(nodeCrypto, proof, ...roots), String(oldSize)).toBe(true);
    }
    const { crypto, count } = counting();
    const hashes = Array.from({ length: 107 }, () => new Uint8Array(32));
    const proof = { oldSize: 3, newSize: LARGEST, hashes };
    expect(await verifyConsistency(crypto, proof, named('a'), named('b'))).toBe(false);
    expect(count()).toBe(0);
    await verifyConsistency(crypto, { ...proof, hashes: hashes.slice(1) }, named('a'), named('b'));
    expect(count()).toBeGreaterThan(0);
  });
});

describe('what a proof proves', () => {
  async function given() {
    const { inclusion, consistency, verifierKey: key, checkpoints } = await makeVectors();
    const { origin } = inclusion;
    /** The checkpoint of another history, or by another key, or of another log. */
    const signed = async (seed: number, name: string, size: number): Promise<string> => {
      const head = { origin: name, size, root: new Uint8Array(32) };
      return (await signCheckpoint(nodeCrypto, head, testSigner(seed))).note;
    };
    const verify = (document: object, line = key): Promise<ProofReport> =>
      verifyProofDocument(nodeCrypto, JSON.stringify(document), line);
    return { inclusion, consistency, checkpoints, key, origin, signed, verify };
  }

  const OTHER_LOG = `vram-residency/another/${'0'.repeat(32)}`;
  const WRONG = Buffer.alloc(32, 1).toString('base64');

  it('is a record and its place', async () => {
    const { inclusion, origin, signed, verify } = await given();
    const report: ProofReport = {
      v: 1,
      ok: true,
      kind: 'inclusion',
      origin,
      treeSize: 5,
      index: 2,
      oldSize: null,
      leaf: inclusion.leaf,
      reason: null,
    };
    expect(await verify(inclusion)).toEqual(report);
    const fails = async (changed: object, reason: string, said: object = {}): Promise<void> => {
      expect(await verify({ ...inclusion, ...changed }), reason).toEqual({
        ...report,
        ok: false,
        leaf: null,
        reason,
        ...said,
      });
    };
    const astray = 'the hashes do not lead from the record to the checkpoint';
    await fails({ leaf: `${inclusion.leaf} ` }, astray);
    await fails({ index: 3 }, astray, { index: 3 });
    await fails({ hashes: inclusion.hashes.with(0, WRONG) }, astray);
    await fails({ hashes: [] }, astray);
    await fails({ treeSize: 6 }, 'the checkpoint is of another tree size', { treeSize: 6 });
    await fails({ origin: OTHER_LOG }, 'the verifier key is that of another log', { origin: OTHER_LOG });
    await fails({ checkpoint: await signed(5, OTHER_LOG, 5) }, 'the checkpoint is of another log');
    await fails({ checkpoint: await signed(4, origin, 5) }, "the checkpoint is not signed by the log's key");
    await fails({ checkpoint: await signed(5, origin, 5) }, astray);
    await fails({ checkpoint: 'no note' }, 'the checkpoint cannot be read');
    expect(await refusal(() => verify({ ...inclusion, hashes: ['*'] }))).toBe(
      'INVALID_INPUT: "proof" must be base64',
    );
  });

  it('is that an older log is a part of a newer one', async () => {
    const { consistency, checkpoints, origin, signed, verify } = await given();
    const report: ProofReport = {
      v: 1,
      ok: true,
      kind: 'consistency',
      origin,
      treeSize: 5,
      index: null,
      oldSize: 3,
      leaf: null,
      reason: null,
    };
    expect(await verify(consistency)).toEqual(report);
    const fails = async (changed: object, reason: string, said: object = {}): Promise<void> => {
      const expected = { ...report, ok: false, reason, ...said };
      expect(await verify({ ...consistency, ...changed }), reason).toEqual(expected);
    };
    const astray = 'the hashes do not lead from the older checkpoint to the newer one';
    await fails({ hashes: consistency.hashes.with(0, WRONG) }, astray);
    await fails({ oldCheckpoint: await signed(5, origin, 3) }, astray);
    await fails({ checkpoint: await signed(5, origin, 5) }, astray);
    const size = 'a checkpoint is of another tree size';
    await fails({ oldSize: 2 }, size, { oldSize: 2 });
    await fails({ newSize: 6 }, size, { treeSize: 6 });
    await fails({ oldCheckpoint: checkpoints[0] ?? '' }, size);
    await fails({ oldCheckpoint: 'x' }, 'the older checkpoint: the checkpoint cannot be read');
    await fails(
      { oldCheckpoint: await signed(4, origin, 3) },
      "the older checkpoint: the checkpoint is not signed by the log's key",
    );
    await fails({ checkpoint: 'x' }, 'the checkpoint cannot be read');
    await fails({ checkpoint: await signed(5, OTHER_LOG, 5) }, 'the checkpoint is of another log');
    await fails({ origin: OTHER_LOG }, 'the verifier key is that of another log', { origin: OTHER_LOG });
  });

  it('is nothing under another key, or under none', async () => {
    const { inclusion, origin, verify } = await given();
    const other = formatVerifierKey(await verifierKey(nodeCrypto, origin, testSigner(4).publicKey));
    expect(await verify(inclusion, other)).toMatchObject({
      ok: false,
      reason: "the checkpoint is not signed by the log's key",
    });
    expect(await refusal(() => verify(inclusion, 'none'))).toContain('INVALID_INPUT: "verifierKey" must be');
  });

  it('is not told where the signature could not be checked at all', async () => {
    const { inclusion, key } = await given();
    const broken: CryptoProvider = {
      ...nodeCrypto,
      verifyEd25519: () => Promise.reject(new Error('no Ed25519 here')),
    };
    await expect(verifyProofDocument(broken, JSON.stringify(inclusion), key)).rejects.toThrow(
      'no Ed25519 here',
    );
  });
});
