import { describe, expect, it } from 'vitest';
import { createPortableEngine, fsverityDigest } from '../../../../src/digest/index.js';
import { localise } from '../../../../src/manager/integrity/localise.js';
import { refine } from '../../../../src/manager/integrity/refine.js';
import { requireGroupsGenuine } from '../../../../src/manager/integrity/retained-hashes.js';
import type { LiveShard } from '../../../../src/manager/state/shard-table.js';
import { nodeCrypto } from '../../../../src/node/crypto.js';
import { bytesSource, type Source } from '../../../../src/source/index.js';
import { failure, overlay, pattern, readerOver } from '../fixture.js';
import { asked, BLOCK, damaged, GROUP, part, shardOver } from './fixture.js';

/** In place, and then by a source, as a verification does it. */
async function locate(live: LiveShard, { source, signal }: { source?: Source; signal?: AbortSignal }) {
  const inPlace = await localise(part(), live, signal);
  if (source === undefined) return { ...inPlace, sourceFailure: null };
  const { found, failure: sourceFailure } = await refine(part(), live, inPlace, readerOver(source), signal);
  return { ...found, sourceFailure };
}

describe('localising damage', () => {
  const bytes = pattern(2 * GROUP + 5000);
  const broken = damaged(bytes, 7, BLOCK, GROUP - 1, 2 * GROUP + 4999);
  const exact = {
    groups: [0, 2],
    exact: true,
    sourceFailure: null,
    damaged: [
      { firstBlock: 0, blocks: 2, byteOffset: 0, byteLength: 8192 },
      { firstBlock: 127, blocks: 1, byteOffset: 127 * BLOCK, byteLength: BLOCK },
      { firstBlock: 257, blocks: 1, byteOffset: 257 * BLOCK, byteLength: 904 },
    ],
  };

  it('with leaves retained names each block, and looks at damaged groups alone', async () => {
    const { live, asked: nodes } = await shardOver(bytes, true, broken);
    const { signal } = new AbortController();
    expect(await locate(live, { signal })).toEqual(exact);
    expect(nodes).toEqual([
      [1, 0, 3, { signal }],
      [0, 0, 128, { signal }],
      [0, 256, 2, { signal }],
    ]);
    nodes.length = 0;
    await locate(live, {});
    expect(nodes.map(([, , , options]) => options)).toEqual([{}, {}, {}]);
  });

  it('with a source reads the damaged groups and no others', async () => {
    const { live } = await shardOver(bytes, false, broken);
    const { source, reads } = asked(bytes);
    expect(await locate(live, { source })).toEqual(exact);
    expect(reads).toEqual([
      [0, GROUP],
      [2 * GROUP, 5000],
    ]);
  });

  it('with leaves retained asks no source', async () => {
    const { live } = await shardOver(bytes, true, broken);
    const { source, reads } = asked(bytes);
    expect(await locate(live, { source })).toEqual(exact);
    expect(reads).toEqual([]);
  });

  it('names whole groups where nobody tells more, or the source tells other bytes', async () => {
    const { live } = await shardOver(bytes, false, broken);
    const whole = {
      groups: [0, 2],
      exact: false,
      sourceFailure: null,
      damaged: [
        { firstBlock: 0, blocks: 128, byteOffset: 0, byteLength: GROUP },
        { firstBlock: 256, blocks: 2, byteOffset: 2 * GROUP, byteLength: 5000 },
      ],
    };
    const { source: longer, reads } = asked(pattern(bytes.length + 1));
    const unreadable = overlay(bytesSource(bytes), { readRange: undefined });
    for (const source of [undefined, bytesSource(pattern(bytes.length, 2)), longer, unreadable]) {
      expect(await locate(live, source === undefined ? {} : { source })).toEqual(whole);
    }
    expect(reads).toEqual([]);
    // One group told exactly does not make the others exact.
    const half = bytesSource(damaged(bytes, 2 * GROUP));
    expect(await locate(live, { source: half })).toEqual({
      ...exact,
      exact: false,
      sourceFailure: null,
      damaged: [...exact.damaged.slice(0, 2), whole.damaged[1]],
    });
  });

  it('of what is sound finds nothing', async () => {
    const { live, asked: nodes } = await shardOver(bytes, false);
    expect(await locate(live, {})).toEqual({
      groups: [],
      damaged: [],
      exact: true,
      sourceFailure: null,
    });
    expect(nodes).toEqual([[1, 0, 3, {}]]);
  });

  it('of a shard of one block compares its only leaf', async () => {
    for (const length of [1, BLOCK]) {
      const small = pattern(length);
      const { live, asked: nodes } = await shardOver(small, false, damaged(small, 0));
      expect(await locate(live, { source: bytesSource(small) })).toEqual({
        groups: [0],
        exact: true,
        sourceFailure: null,
        damaged: [{ firstBlock: 0, blocks: 1, byteOffset: 0, byteLength: length }],
      });
      expect(nodes.map(([level]) => level)).toEqual([0, 0]);
    }
  });

  it('by hashes that are damaged themselves is refused: they decide nothing', async () => {
    const message =
      'the hashes retained in host memory are damaged: they no longer lead to the signed digest; release the shard ' +
      'and seal it again';
    for (const which of ['groups', 'leaves'] as const) {
      const { live } = await shardOver(bytes, true, broken);
      const hashes = live.retained[which] ?? new Uint8Array();
      hashes[5] = (hashes[5] ?? 0) ^ 1;
      expect(await failure(locate(live, {}))).toMatchObject({
        code: 'INTEGRITY_VIOLATION',
        message,
      });
    }
    const { live } = await shardOver(bytes, false);
    await requireGroupsGenuine(part(), live);
  });

  it('of more than 2 GiB fetches 4096 group hashes at a time', async () => {
    const total = 4097;
    const engine = createPortableEngine();
    const groups = pattern(total * 32);
    let root = groups;
    while (root.length > 32) root = Uint8Array.from(await engine.nodes(root));
    const byteLength = total * GROUP;
    const fsverity = await fsverityDigest(byteLength, root, (input) => nodeCrypto.sha256(input));
    const fetched: unknown[][] = [];
    const region = {
      nodes: async (level: number, first: number, count: number) => {
        fetched.push([level, first, count]);
        return level === 0
          ? new Uint8Array(count * 32)
          : damaged(groups, 32 * 4095, 32 * 4096).slice(first * 32, (first + count) * 32);
      },
    };
    const live = {
      sealed: { byteLength, fsverity, manifest: null },
      region,
      retained: { groups, leaves: null },
    };
    const found = await locate(live as unknown as LiveShard, {});
    expect(found).toEqual({
      groups: [4095, 4096],
      exact: false,
      sourceFailure: null,
      damaged: [{ firstBlock: 4095 * 128, blocks: 256, byteOffset: 4095 * GROUP, byteLength: 2 * GROUP }],
    });
    expect(fetched).toEqual([
      [1, 0, 4096],
      [1, 4096, 1],
    ]);
  });
});
