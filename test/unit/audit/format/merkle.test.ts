import { describe, expect, it } from 'vitest';
import { Scratch } from '../../../../src/audit/format/buffers.js';
import { CompactRange, leafHash, nodeHash, subtreeLevels } from '../../../../src/audit/format/merkle.js';
import { toHex } from '../../../../src/base/hex.js';
import { nodeCrypto } from '../../../../src/node/crypto.js';
import { webCrypto } from '../../../../src/web/web-crypto.js';
import { refusal } from '../../../support/refusal.js';
import { naiveRoot } from '../oracle.js';

// Entries and roots that Certificate Transparency implementations share.
const ENTRIES = [
  '',
  '00',
  '10',
  '2021',
  '3031',
  '40414243',
  '5051525354555657',
  '606162636465666768696a6b6c6d6e6f',
];

const ROOTS = [
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
];

const entries = (count: number): Uint8Array[] =>
  Array.from({ length: count }, (_, index) => Uint8Array.of(index, index >> 8));

async function rangeOf(all: readonly Uint8Array[], begin: number, end: number): Promise<CompactRange> {
  const range = new CompactRange(nodeCrypto, begin);
  for (const entry of all.slice(begin, end)) await range.append(await leafHash(nodeCrypto, entry));
  return range;
}

const hash = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);

describe('the Merkle tree (RFC 6962)', () => {
  it.each([
    ['node:crypto', nodeCrypto],
    ['WebCrypto', webCrypto],
  ])('has the known roots of 0 to 8 entries with %s', async (_, crypto) => {
    const tree = new CompactRange(crypto);
    expect(toHex(await tree.root())).toBe(ROOTS[0]);
    for (const [index, entry] of ENTRIES.entries()) {
      await tree.append(await leafHash(crypto, Buffer.from(entry, 'hex')));
      expect(toHex(await tree.root())).toBe(ROOTS[index + 1]);
    }
  });

  it('has the root of the definition for every size up to 300', async () => {
    const all = entries(300);
    const tree = new CompactRange(nodeCrypto);
    for (let size = 0; size <= all.length; size++) {
      if (size > 0) await tree.append(await leafHash(nodeCrypto, all[size - 1] ?? new Uint8Array(0)));
      expect(toHex(await tree.root())).toBe(naiveRoot(all.slice(0, size)).toString('hex'));
      expect(tree.hashes).toHaveLength(subtreeLevels(0, size).length);
    }
  });

  it('joins ranges that were hashed apart, at every pair of cuts', async () => {
    const all = entries(21);
    const root = naiveRoot(all).toString('hex');
    for (let first = 0; first <= all.length; first++) {
      for (let second = first; second <= all.length; second++) {
        const tree = await rangeOf(all, 0, first);
        const middle = await rangeOf(all, first, second);
        await middle.join(await rangeOf(all, second, all.length));
        await tree.join(middle);
        expect(toHex(await tree.root())).toBe(root);
      }
    }
  });

  it('goes on from kept subtree hashes', async () => {
    const all = entries(100);
    const kept = await rangeOf(all, 0, 77);
    const resumed = new CompactRange(nodeCrypto, 0, 77, kept.hashes);
    await resumed.join(await rangeOf(all, 77, 100));
    expect(toHex(await resumed.root())).toBe(naiveRoot(all).toString('hex'));
  });

  it('refuses ranges that do not touch, and hashes that do not tile', async () => {
    const all = entries(8);
    const tree = await rangeOf(all, 0, 3);
    await expect(tree.join(await rangeOf(all, 4, 8))).rejects.toMatchObject({ code: 'INVALID_INPUT' });
    expect(() => new CompactRange(nodeCrypto, 0, 3, [new Uint8Array(32)])).toThrow('hashes');
    expect(() => new CompactRange(nodeCrypto, 0, 1, [new Uint8Array(31)])).toThrow('hashes');
    await expect((await rangeOf(all, 4, 8)).root()).rejects.toThrow('begin at 0');
  });

  it('is left as it was by a failing hash', async () => {
    let failing = false;
    const crypto = {
      sha256: (bytes: Uint8Array) => (failing ? Promise.reject(new Error('no')) : nodeCrypto.sha256(bytes)),
    };
    const tree = new CompactRange(crypto);
    const all = entries(8);
    for (const entry of all.slice(0, 7)) await tree.append(await leafHash(nodeCrypto, entry));
    const last = await leafHash(nodeCrypto, all[7] ?? new Uint8Array(0));
    failing = true;
    await expect(tree.append(last)).rejects.toThrow('no');
    failing = false;
    expect(toHex(await tree.root())).toBe(naiveRoot(all.slice(0, 7)).toString('hex'));
    await tree.append(last);
    expect(toHex(await tree.root())).toBe(naiveRoot(all).toString('hex'));
  });
});

describe('ranges of the tree', () => {
  it.each<[string, readonly [number, number?, Uint8Array[]?], string]>([
    ['a negative begin', [-1], '"begin" must be an integer of at least 0'],
    ['half a leaf', [0.5], '"begin" must be an integer of at least 0'],
    ['an end before its begin', [2, 1], '"end" must be an integer of at least begin'],
    ['an end of half a leaf', [0, 1.5], '"end" must be an integer of at least begin'],
    ['no hashes', [0, 1], '"hashes" must be one hash of 32 bytes for each subtree of the range'],
    [
      'a short hash',
      [0, 1, [new Uint8Array(31)]],
      '"hashes" must be one hash of 32 bytes for each subtree of the range',
    ],
    [
      'one hash short of its kind',
      [0, 3, [hash(1), new Uint8Array(31)]],
      '"hashes" must be one hash of 32 bytes for each subtree of the range',
    ],
  ])('with %s are refused', async (_, [begin, end, hashes], problem) => {
    expect(await refusal(() => new CompactRange(nodeCrypto, begin, end, hashes))).toBe(
      `INVALID_INPUT: ${problem}`,
    );
  });

  it('join where they touch alone, and have a root from the first leaf on', async () => {
    const first = new CompactRange(nodeCrypto, 0, 1, [hash(1)]);
    const late = new CompactRange(nodeCrypto, 2, 3, [hash(3)]);
    expect(await refusal(() => first.join(late))).toBe('INVALID_INPUT: "next" must begin at 1');
    expect(await refusal(() => late.root())).toBe('INVALID_INPUT: "range" must begin at 0 to have a root');
    expect(await new CompactRange(nodeCrypto).root()).toEqual(await nodeCrypto.sha256(new Uint8Array(0)));
  });

  it('copied go their own way', async () => {
    const range = new CompactRange(nodeCrypto, 0, 1, [hash(1)]);
    const copy = range.copy();
    await copy.append(hash(2));
    expect([range.end, copy.end]).toEqual([1, 2]);
    expect(range.hashes).toEqual([hash(1)]);
    expect(copy.hashes).toEqual([await nodeHash(nodeCrypto, hash(1), hash(2))]);
  });

  it('are tiled by the largest aligned subtrees', () => {
    expect(subtreeLevels(0, 0)).toEqual([]);
    expect(subtreeLevels(0, 7)).toEqual([2, 1, 0]);
    expect(subtreeLevels(1, 8)).toEqual([0, 1, 2]);
    expect(subtreeLevels(6, 13)).toEqual([1, 2, 0]);
  });

  it('hash leaves and nodes apart, with or without scratch memory', async () => {
    const entry = new TextEncoder().encode('entry');
    const other = new TextEncoder().encode('other');
    const scratch = new Scratch(4);
    expect(await leafHash(nodeCrypto, entry, scratch)).toEqual(new Uint8Array(naiveRoot([entry])));
    expect(await leafHash(nodeCrypto, entry)).toEqual(new Uint8Array(naiveRoot([entry])));
    const both = new Uint8Array(naiveRoot([entry, other]));
    const [left, right] = [await leafHash(nodeCrypto, entry), await leafHash(nodeCrypto, other)];
    expect(await nodeHash(nodeCrypto, left, right, scratch)).toEqual(both);
    expect(await nodeHash(nodeCrypto, left, right)).toEqual(both);
  });
});
