import { describe, expect, it } from 'vitest';
import { type BlockHasher, TreeAccumulator } from '../../../src/digest/index.js';
import { xorshiftBytes } from '../../support/xorshift.js';
import { naiveTree, sha256 } from './engines.js';

const hashBlocks: BlockHasher = (blocks, out) => {
  expect(blocks.length % 4096).toBe(0);
  expect(out).toHaveLength(blocks.length / 128);
  for (let i = 0; i < blocks.length / 4096; i++) {
    out.set(sha256(blocks.subarray(i * 4096, (i + 1) * 4096)), i * 32);
  }
};

describe('TreeAccumulator', () => {
  it('has a root of zeros for empty data', () => {
    expect(new TreeAccumulator(0, 'leaves', hashBlocks).finish()).toEqual({
      root: new Uint8Array(32),
      groups: new Uint8Array(),
      leaves: new Uint8Array(),
    });
  });

  it('stands the only leaf in for level 1', () => {
    const tree = new TreeAccumulator(5, 'groups', hashBlocks);
    tree.update(Uint8Array.of(1, 2));
    tree.update(Uint8Array.of(3, 4, 5));
    const leaf = new Uint8Array(4096);
    leaf.set([1, 2, 3, 4, 5]);
    expect(tree.finish()).toEqual({ root: sha256(leaf), groups: sha256(leaf), leaves: null });
  });

  it.each([1, 4095, 4096, 4097, 8191, 524_287, 524_288, 524_289, 1_048_577])(
    'builds the tree of %d bytes, from bytes and from leaf hashes',
    (size) => {
      const bytes = xorshiftBytes(size, size);
      const levels = naiveTree(bytes);
      const leaves = levels[0] ?? new Uint8Array();
      const expected = { root: levels.at(-1), groups: levels[1] ?? leaves, leaves };
      for (const step of [size, 1000, 4096, 65_537]) {
        const tree = new TreeAccumulator(size, 'leaves', hashBlocks);
        for (let at = 0; at < size; at += step) tree.update(bytes.subarray(at, at + step));
        expect(tree.finish()).toEqual(expected);
      }
      for (const step of [leaves.length, 32, 7 * 32, 4096]) {
        const tree = new TreeAccumulator(size, 'leaves', hashBlocks);
        for (let at = 0; at < leaves.length; at += step) tree.addLeaves(leaves.subarray(at, at + step));
        expect(tree.finish()).toEqual(expected);
      }
    },
  );

  it('builds four levels from leaf hashes alone', () => {
    const leaves = xorshiftBytes(6, 16_385 * 32);
    const tree = new TreeAccumulator(16_385 * 4096, 'groups', hashBlocks);
    tree.addLeaves(leaves);
    const [groups, , root] = naiveTree(leaves);
    expect(tree.finish()).toEqual({ root, groups, leaves: null });
  });
});
