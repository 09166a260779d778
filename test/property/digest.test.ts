import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/hex.js';
import { BLOCK_BYTES, type DigestEngine, HASHES_PER_BLOCK, treeLayout } from '../../src/digest/index.js';
import { propertyRuns } from '../support/property-runs.js';
import { xorshiftBytes } from '../support/xorshift.js';
import { ENGINE_NAMES, engineOf, feed, naiveTree, sha256 } from '../unit/digest/engines.js';

let engines: readonly DigestEngine[] = [];
beforeAll(() => {
  engines = ENGINE_NAMES.map(engineOf);
});
afterAll(() => Promise.all(engines.map((engine) => engine.close())));

/** Small sizes, sizes around borders of blocks and groups, and a few beyond the thread threshold. */
const size = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 20_000 }) },
  {
    weight: 4,
    arbitrary: fc
      .tuple(fc.integer({ min: 0, max: 300 }), fc.integer({ min: -65, max: 65 }))
      .map(([blocks, more]) => Math.max(0, blocks * BLOCK_BYTES + more)),
  },
  { weight: 1, arbitrary: fc.integer({ min: 4_194_304, max: 5_300_000 }) },
);
const chunkSizes = fc.array(
  fc.oneof(fc.integer({ min: 1000, max: 9000 }), fc.integer({ min: 60_000, max: 1_100_000 })),
  { minLength: 1, maxLength: 5 },
);

describe('[CI-008] digests', () => {
  it('are the same for every engine and chunking, and equal node:crypto', async () => {
    await fc.assert(
      fc.asyncProperty(
        size,
        fc.integer({ min: 1, max: 2 ** 31 - 1 }),
        chunkSizes,
        fc.constantFrom('root', 'groups', 'leaves'),
        async (byteLength, seed, chunks, keep) => {
          const bytes = xorshiftBytes(seed, byteLength);
          const tree = naiveTree(bytes);
          const leaves = tree[0] ?? new Uint8Array();
          const results = await Promise.all(
            engines.map(async (engine) => {
              const stream = engine.start({ byteLength, sha256: true, keep });
              await feed(stream, bytes, chunks);
              return stream.finish();
            }),
          );
          for (const result of results) {
            expect(result.fsverity).toBe(results[0]?.fsverity);
            expect(result.sha256).toBe(toHex(sha256(bytes)));
            expect(result.root).toEqual(tree.at(-1) ?? new Uint8Array(32));
            expect(result.groups).toEqual(keep === 'root' ? null : (tree[1] ?? leaves));
            expect(result.leaves).toEqual(keep === 'leaves' ? leaves : null);
          }
        },
      ),
      { numRuns: propertyRuns(60) },
    );
  });

  it('change when any one bit changes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 30_000 }),
        fc.nat(),
        fc.integer({ min: 0, max: 7 }),
        async (byteLength, where, bit) => {
          const bytes = xorshiftBytes(7, byteLength);
          const changed = bytes.slice();
          const at = where % byteLength;
          changed[at] = (changed[at] ?? 0) ^ (1 << bit);
          for (const engine of engines) {
            const [clean, damaged] = await Promise.all(
              [bytes, changed].map(async (data) => {
                const stream = engine.start({ byteLength, sha256: true, keep: 'leaves' });
                await stream.update(data);
                return stream.finish();
              }),
            );
            expect(damaged?.sha256).not.toBe(clean?.sha256);
            expect(damaged?.fsverity).not.toBe(clean?.fsverity);
            const block = Math.floor(at / BLOCK_BYTES);
            const differing = Array.from({ length: Math.ceil(byteLength / BLOCK_BYTES) }, (_, i) => i).filter(
              (i) =>
                toHex(clean?.leaves?.subarray(i * 32, i * 32 + 32) ?? bytes) !==
                toHex(damaged?.leaves?.subarray(i * 32, i * 32 + 32) ?? bytes),
            );
            expect(differing).toEqual([block]);
          }
        },
      ),
      { numRuns: propertyRuns(40) },
    );
  });
});

describe('[MS-006] treeLayout', () => {
  it('agrees with arbitrary-precision arithmetic up to 2^53 - 1', () => {
    const max = Number.MAX_SAFE_INTEGER;
    fc.assert(
      fc.property(
        fc.oneof(
          fc.integer({ min: 1, max }),
          fc.integer({ min: max - 100_000, max }),
          fc
            .tuple(fc.integer({ min: 12, max: 52 }), fc.integer({ min: -2, max: 2 }))
            .map(([p, d]) => 2 ** p + d),
        ),
        (byteLength) => {
          const ceil = (a: bigint, b: bigint) => (a + b - 1n) / b;
          let nodes = ceil(BigInt(byteLength), BigInt(BLOCK_BYTES));
          let offset = 0n;
          const levels: { nodes: number; offset: number }[] = [];
          for (;;) {
            levels.push({ nodes: Number(nodes), offset: Number(offset) });
            if (nodes === 1n) break;
            offset += nodes;
            nodes = ceil(nodes, BigInt(HASHES_PER_BLOCK));
          }
          expect(treeLayout(byteLength)).toEqual({ byteLength, blocks: levels[0]?.nodes, levels });
        },
      ),
      { numRuns: propertyRuns(2000) },
    );
  });
});
