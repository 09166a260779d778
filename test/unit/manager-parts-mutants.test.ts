import { describe, expect, it } from 'vitest';
import { VramError } from '../../src/base/errors.js';
import type { CryptoProvider } from '../../src/crypto/provider.js';
import type { Region } from '../../src/device/index.js';
import { createPortableEngine, fsverityDigest } from '../../src/digest/index.js';
import { blocksOf, toRanges } from '../../src/manager/integrity/block-ranges.js';
import { measure, residentDigest } from '../../src/manager/integrity/device-tree.js';
import { localise } from '../../src/manager/integrity/localise.js';
import { readbackDigest } from '../../src/manager/integrity/readback.js';
import { refine } from '../../src/manager/integrity/refine.js';
import { hashAt, requireGroupsGenuine } from '../../src/manager/integrity/retained-hashes.js';
import { describeSample, drawGroups, groupLevel, groupsMatch } from '../../src/manager/integrity/sample.js';
import type { Core } from '../../src/manager/state/core.js';
import type { KeptHashes, LiveShard } from '../../src/manager/state/shard-table.js';
import { nodeCrypto } from '../../src/node/crypto.js';
import { bytesSource, type Source } from '../../src/source/index.js';
import { failure, overlay, pattern, readerOver } from './manager-fixture.js';

const GROUP = 524_288;
const BLOCK = 4096;
const MIB = 2 ** 20;

/** What the parts under test use of a manager. */
function part(engine = createPortableEngine()): Core {
  return { engine, crypto: nodeCrypto } as unknown as Core;
}

/** A shard over bytes in host memory, and what its region is asked. */
async function shardOver(bytes: Uint8Array, leavesKept: boolean, resident = bytes) {
  const engine = createPortableEngine();
  const stream = engine.start({ byteLength: bytes.length, sha256: false, keep: 'leaves' });
  await stream.update(bytes);
  const digest = await stream.finish();
  const asked: unknown[][] = [];
  const region = {
    byteLength: bytes.length,
    nodes: async (level: number, first: number, count: number, options: unknown) => {
      asked.push([level, first, count, options]);
      const leaves = await engine.leaves(resident);
      const hashes = level === 0 ? leaves : await engine.nodes(leaves);
      return hashes.slice(first * 32, (first + count) * 32);
    },
  } as unknown as Region;
  const groups = (digest.groups ?? digest.root).slice();
  const kept: KeptHashes = { groups, leaves: leavesKept ? (digest.leaves?.slice() ?? null) : null };
  const sealed = { byteLength: bytes.length, fsverity: digest.fsverity, shardId: 'a', manifest: null };
  return { live: { sealed, region, kept } as unknown as LiveShard, asked, engine };
}

/** The bytes with some of them changed. */
function damaged(bytes: Uint8Array, ...at: number[]): Uint8Array {
  const copy = bytes.slice();
  for (const byte of at) copy[byte] = (copy[byte] ?? 0) ^ 1;
  return copy;
}

/** A source that remembers what it was asked for. */
function asked(bytes: Uint8Array): { source: Source; reads: number[][] } {
  const reads: number[][] = [];
  return {
    reads,
    source: {
      ...bytesSource(bytes),
      readRange: async (offset: number, length: number) => {
        reads.push([offset, length]);
        return bytes.slice(offset, offset + length);
      },
    },
  };
}

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

  it('with leaves kept names each block, and looks at damaged groups alone', async () => {
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

  it('with leaves kept asks no source', async () => {
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
      'the hashes kept in host memory are damaged: they no longer lead to the signed digest; release the shard and seal it again';
    for (const which of ['groups', 'leaves'] as const) {
      const { live } = await shardOver(bytes, true, broken);
      const hashes = live.kept[which] ?? new Uint8Array();
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
    const live = { sealed: { byteLength, fsverity, manifest: null }, region, kept: { groups, leaves: null } };
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

describe('reading from a source', () => {
  const bytes = pattern(100);

  it('gives a copy of what was asked for', async () => {
    const own = bytes.slice();
    const source = { ...bytesSource(own), readRange: async () => own.subarray(10, 15) };
    const read = await readerOver(source).range(10, 5);
    own.fill(0);
    expect(read).toEqual(bytes.slice(10, 15));
  });

  it('says what went wrong', async () => {
    const from = (readRange: unknown, signal?: AbortSignal) =>
      failure(
        readerOver(overlay(bytesSource(bytes), { readRange, label: 'weights' }), { ends: [signal] }).range(
          10,
          5,
        ),
      );
    for (const given of [new Uint8Array(4), new Uint8Array(6), 'bytes', [1, 2, 3, 4, 5]]) {
      expect(await from(async () => given)).toMatchObject({
        code: 'SOURCE_MISMATCH',
        message: 'the source "weights" did not give 5 bytes at 10',
      });
    }
    const own = new RangeError('mine');
    const throwing = async (): Promise<never> => {
      throw own;
    };
    expect(await from(throwing)).toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'source',
      message: '"source" failed while it was read',
      cause: own,
    });
    // Nothing is asked after the end.
    let asked = 0;
    expect(await from(async () => asked++, AbortSignal.abort(own))).toMatchObject({
      code: 'ABORTED',
      message: 'the operation was aborted by its signal',
      cause: own,
    });
    expect(asked).toBe(0);
    expect(await from(throwing, new AbortController().signal)).toMatchObject({ code: 'INVALID_INPUT' });
    const ours = new VramError('SOURCE_MISMATCH', 'it changed');
    expect(await from(() => Promise.reject(ours))).toBe(ours);
  });
});

describe('samples', () => {
  it('say what they may have missed, for damage of up to all groups', () => {
    const all = [1, 2, 4, 8, 16, 32, 64, 128];
    for (const [total, told] of [
      [128, all],
      [127, all.slice(0, -1)],
      [129, all],
      [3, [1, 2]],
      [1, [1]],
    ] as const) {
      const report = describeSample(1, total);
      expect(report.chanceOfMiss.map(({ damagedGroups }) => damagedGroups)).toEqual(told);
      expect(Object.isFrozen(report)).toBe(true);
    }
    expect(describeSample(2, 4)).toEqual({
      groups: 2,
      totalGroups: 4,
      chanceOfMiss: [
        { damagedGroups: 1, chance: 0.5 },
        { damagedGroups: 2, chance: expect.closeTo(1 / 6, 12) },
        { damagedGroups: 4, chance: 0 },
      ],
    });
  });

  /** Gives these values of 48 bits, one after another. */
  const from = (...values: number[]): CryptoProvider =>
    overlay(nodeCrypto, {
      randomBytes: (length: number) => {
        expect(length).toBe(6);
        const value = BigInt(values.shift() ?? 0);
        return Uint8Array.from({ length }, (_, at) => Number((value >> BigInt(8 * (5 - at))) & 255n));
      },
    });

  it('are drawn by Floyd: of a number drawn twice the second is the newest', () => {
    expect(drawGroups(from(4, 4, 4), 3, 10)).toEqual([4, 8, 9]);
    expect(drawGroups(from(7, 1, 0), 3, 10)).toEqual([0, 1, 7]);
    expect(drawGroups(from(), 0, 10)).toEqual([]);
    expect(drawGroups(from(9, 9, 9), 1, 1)).toEqual([0]);
    // 256^5 + 258, in order of its digits.
    expect(drawGroups(from(2 ** 40 + 258), 1, 1000)).toEqual([(2 ** 40 + 258) % 1000]);
  });

  it('throw away draws beyond the last whole multiple, and none below', () => {
    // 2^48 is 1 beyond a multiple of 3: its last number alone is thrown away.
    expect(drawGroups(from(2 ** 48 - 1, 0), 1, 3)).toEqual([0]);
    expect(drawGroups(from(2 ** 48 - 2, 0), 1, 3)).toEqual([2]);
    expect(drawGroups(from(2 ** 48 - 1, 1), 1, 4)).toEqual([3]);
  });

  it('are of level 1, or of the only leaf', () => {
    for (const [byteLength, level, groups] of [
      [1, 0, 1],
      [BLOCK, 0, 1],
      [BLOCK + 1, 1, 1],
      [GROUP, 1, 1],
      [GROUP + 1, 1, 2],
      [300 * GROUP, 1, 300],
    ] as const) {
      expect(groupLevel(byteLength)).toEqual({ level, groups });
    }
  });

  it('hash neighbours in one run, and differ if any group differs', async () => {
    const bytes = pattern(6 * GROUP);
    const { live, asked: nodes } = await shardOver(bytes, false, damaged(bytes, 4 * GROUP));
    const { signal } = new AbortController();
    expect(await groupsMatch(live, [0, 1, 3, 5], signal)).toBe(true);
    expect(nodes).toEqual([
      [1, 0, 2, { signal }],
      [1, 3, 1, { signal }],
      [1, 5, 1, { signal }],
    ]);
    nodes.length = 0;
    expect(await groupsMatch(live, [3, 4, 5], undefined)).toBe(false);
    expect(await groupsMatch(live, [4], undefined)).toBe(false);
    expect(await groupsMatch(live, [], undefined)).toBe(true);
    expect(nodes).toEqual([
      [1, 3, 3, {}],
      [1, 4, 1, {}],
    ]);
  });
});

describe('digests of device memory', () => {
  it('are looked at again when they differ, once', async () => {
    const looks = async (...digests: string[]): Promise<unknown> => {
      let count = 0;
      const mismatches: number[] = [];
      const found = await measure(
        'sealed',
        async () => digests[count++] ?? 'none',
        () => mismatches.push(count),
      );
      return { ...found, count, mismatches };
    };
    const seen = { count: 2, mismatches: [1] };
    expect(await looks('sealed')).toEqual({ verdict: 'equal', actual: 'sealed', count: 1, mismatches: [] });
    expect(await looks('other', 'sealed')).toEqual({ verdict: 'transient', actual: 'other', ...seen });
    expect(await looks('other', 'third')).toEqual({ verdict: 'different', actual: 'third', ...seen });
  });

  it('over fewer or more blocks than there are do not count', async () => {
    const region = (blocks: number): Region =>
      ({
        byteLength: BLOCK + 1,
        root: async () => ({ root: new Uint8Array(32), blocks }),
      }) as unknown as Region;
    for (const blocks of [1, 3]) {
      expect(await failure(residentDigest(part(), region(blocks), undefined))).toMatchObject({
        code: 'DEVICE_UNAVAILABLE',
        message: `the device hashed ${blocks} of 2 blocks; the run does not count`,
      });
    }
    expect(await residentDigest(part(), region(2), undefined)).toBe(
      await fsverityDigest(BLOCK + 1, new Uint8Array(32), (input) => nodeCrypto.sha256(input)),
    );
  });
});

describe('readback', () => {
  const bytes = pattern(4 * MIB + 1);
  const region = (read: Region['read']): Region => ({ byteLength: bytes.length, read }) as unknown as Region;

  it('comes in windows of 4 MiB, and says how far it is', async () => {
    const reads: number[][] = [];
    const seen: unknown[] = [];
    const digest = await readbackDigest(
      part(),
      region(async (offset, length) => {
        reads.push([offset, length]);
        return bytes.slice(offset, offset + length);
      }),
      { onProgress: (progress) => seen.push(progress) },
    );
    expect(digest).toBe((await shardOver(bytes, false)).live.sealed.fsverity);
    expect(reads).toEqual([
      [0, 4 * MIB],
      [4 * MIB, 1],
    ]);
    expect(seen).toEqual([
      { phase: 'readback', bytes: 4 * MIB, totalBytes: 4 * MIB + 1 },
      { phase: 'readback', bytes: 4 * MIB + 1, totalBytes: 4 * MIB + 1 },
    ]);
  });

  it('that fails, or is aborted, or cannot be hashed, ends with that and frees the digest', async () => {
    const engine = createPortableEngine();
    let aborted = 0;
    const watched = (update?: () => Promise<never>): Core =>
      part(
        overlay(engine, {
          start: (request: Parameters<typeof engine.start>[0]) => {
            expect(request).toEqual({ byteLength: bytes.length, sha256: false, keep: 'root' });
            const stream = engine.start(request);
            return overlay(stream, {
              abort: () => {
                aborted++;
                stream.abort();
              },
              ...(update === undefined ? {} : { update }),
            });
          },
        }),
      );
    const gone = new VramError('DEVICE_LOST', 'gone');
    const failing = region(async (offset, length) => {
      if (offset > 0) throw gone;
      return bytes.slice(offset, offset + length);
    });
    expect(await failure(readbackDigest(watched(), failing, {}))).toBe(gone);
    const full = new Error('no memory');
    const update = (): Promise<never> => Promise.reject(full);
    expect(await failure(readbackDigest(watched(update), failing, {}))).toBe(full);
    const aborting = new AbortController();
    const slow = region(async (offset, length) => {
      if (offset > 0) aborting.abort('enough');
      return bytes.slice(offset, offset + length);
    });
    const late = readbackDigest(watched(), slow, { signal: aborting.signal });
    expect(await failure(late)).toMatchObject({ code: 'ABORTED', cause: 'enough' });
    expect(aborted).toBe(3);
  });
});

describe('packed hashes and ranges', () => {
  it('are cut at 32 bytes', () => {
    const hashes = pattern(96);
    expect(hashAt(hashes, 1)).toEqual(hashes.slice(32, 64));
  });

  it('join neighbours only', () => {
    expect(toRanges([5], 6 * BLOCK)).toEqual([
      { firstBlock: 5, blocks: 1, byteOffset: 5 * BLOCK, byteLength: BLOCK },
    ]);
    expect(toRanges([1, 2, 3, 5], 6 * BLOCK).map(({ firstBlock, blocks }) => [firstBlock, blocks])).toEqual([
      [1, 3],
      [5, 1],
    ]);
    expect([...blocksOf([])]).toEqual([]);
  });
});
