import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { toHex } from '../../../../src/base/index.js';
import { BLOCK_BYTES, HASH_BYTES } from '../../../../src/digest/index.js';
import { addonPaths } from '../../../../src/node/addon/index.js';
import { NativeEngine } from '../../../../src/node/digest/native-engine.js';
import { findNativeHasher } from '../../../../src/node/digest/native-hasher.js';
import { xorshiftBytes } from '../../../support/xorshift.js';
import { feed, inHex, naiveTree, sha256 } from '../../digest/engines.js';

const KNOWN = ['avx512', 'sha-ni', 'avx2', 'armv8'];
/** Around the lanes of every hasher: 4, 8, 16. */
const COUNTS = [
  0, 1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 15, 16, 17, 20, 23, 24, 25, 31, 32, 33, 63, 64, 65, 129,
];
const MIB = 1024 * 1024;

const names = findNativeHasher() === null ? [] : runnable();

function runnable(): string[] {
  return KNOWN.filter((name) => {
    vi.stubEnv('VRAM_RESIDENCY_HASHER', name);
    try {
      return findNativeHasher() !== null;
    } catch {
      return false;
    } finally {
      vi.unstubAllEnvs();
    }
  });
}

function hasherNamed(name: string) {
  vi.stubEnv('VRAM_RESIDENCY_HASHER', name);
  const hasher = findNativeHasher();
  if (hasher === null) throw new Error(`${name} does not run here`);
  return hasher;
}

function expected(blocks: Uint8Array): string {
  let text = '';
  for (let at = 0; at < blocks.length; at += BLOCK_BYTES)
    text += toHex(sha256(blocks.subarray(at, at + BLOCK_BYTES)));
  return text;
}

afterEach(() => vi.unstubAllEnvs());

describe.each(KNOWN)('block hasher %s', (name) => {
  const without = names.includes(name) ? '' : ' (skipped: this processor cannot run it)';

  it.skipIf(without !== '')(`agrees with node:crypto for every count around its lanes${without}`, () => {
    const hasher = hasherNamed(name);
    expect(hasher.name).toBe(name);
    const room = xorshiftBytes(7, 129 * BLOCK_BYTES + 3);
    for (const count of COUNTS) {
      // Neither begins where a register would like it to, and what lies behind the hashes stays as it is.
      const blocks = room.subarray(3, 3 + count * BLOCK_BYTES);
      const out = new Uint8Array(1 + count * HASH_BYTES + 64).fill(0xee);
      hasher.hash(blocks, out.subarray(1, 1 + count * HASH_BYTES));
      expect(toHex(out.subarray(1, 1 + count * HASH_BYTES)), `${count} blocks`).toBe(expected(blocks));
      expect(out.subarray(1 + count * HASH_BYTES).every((byte) => byte === 0xee)).toBe(true);
    }
  });

  it.skipIf(without !== '')(`gives the same in a thread, and for shared memory${without}`, async () => {
    const hasher = hasherNamed(name);
    const blocks = new Uint8Array(new SharedArrayBuffer(33 * BLOCK_BYTES));
    blocks.set(xorshiftBytes(8, blocks.length));
    const out = new Uint8Array(33 * HASH_BYTES);
    await hasher.hashAsync(blocks, out);
    expect(toHex(out)).toBe(expected(blocks));
  });

  it.skipIf(without !== '')(
    `carries the native engine, streams and resident memory alike${without}`,
    async () => {
      const engine = new NativeEngine(hasherNamed(name));
      try {
        for (const size of [1, BLOCK_BYTES * 5 + 1, 4 * MIB - 1, 4 * MIB, 9 * MIB + 4097]) {
          const bytes = xorshiftBytes(size, size);
          const stream = engine.start({ byteLength: size, sha256: true, keep: 'leaves' });
          await feed(stream, bytes, [MIB, 5000]);
          const digest = await stream.finish();
          const tree = naiveTree(bytes);
          expect(inHex(digest).root, `${size} bytes`).toBe(toHex(tree.at(-1) ?? new Uint8Array()));
          expect(inHex(digest).leaves).toBe(toHex(tree[0] ?? new Uint8Array()));
          expect(digest.sha256).toBe(toHex(sha256(bytes)));
        }
        // At once, and from 33 blocks on in threads.
        for (const size of [BLOCK_BYTES, 32 * BLOCK_BYTES, 33 * BLOCK_BYTES, 3 * MIB]) {
          const resident = xorshiftBytes(11, size);
          const out = new Uint8Array((size / BLOCK_BYTES) * HASH_BYTES);
          await engine.hashResident?.(resident, out);
          expect(toHex(out), `${size} bytes`).toBe(toHex(naiveTree(resident)[0] ?? new Uint8Array()));
        }
      } finally {
        await engine.close();
      }
    },
  );
});

describe('the choice of a block hasher', () => {
  const none = names.length === 0 ? ' (skipped: no block hasher runs here)' : '';

  it('is node:crypto where the variable says so', () => {
    vi.stubEnv('VRAM_RESIDENCY_HASHER', 'node');
    expect(findNativeHasher()).toBeNull();
    expect(new NativeEngine(null).hashResident).toBeUndefined();
  });

  it.each(['sha1', '', 'AVX512'])('refuses the name %j', (name) => {
    vi.stubEnv('VRAM_RESIDENCY_HASHER', name);
    expect(() => findNativeHasher()).toThrow(
      expect.objectContaining({ code: 'INVALID_INPUT', argument: 'VRAM_RESIDENCY_HASHER' }),
    );
  });

  it.skipIf(none !== '')(`is the fastest that runs${none}`, () => {
    expect(findNativeHasher()?.name).toBe(names[0]);
  });

  it.skipIf(none !== '')(`checks its arguments again at the addon's border${none}`, () => {
    const path = addonPaths().find((candidate) => existsSync(candidate)) ?? '';
    const { hashBlocks }: { hashBlocks(...args: unknown[]): void } = createRequire(import.meta.url)(path);
    const block = new Uint8Array(BLOCK_BYTES);
    const wrong: [unknown, unknown, unknown, string][] = [
      ['sha1', block, new Uint8Array(32), 'hasher'],
      [names[0], new Uint8Array(100), new Uint8Array(32), 'blocks'],
      [names[0], new Float32Array(1024), new Uint8Array(32), 'blocks'],
      [names[0], block, new Uint8Array(31), 'hashes'],
      [names[0], block, new Uint8Array(64), 'hashes'],
      [names[0], 'text', new Uint8Array(32), 'blocks'],
    ];
    for (const [hasher, blocks, hashes, argument] of wrong) {
      expect(() => hashBlocks(hasher, blocks, hashes)).toThrow(argument);
    }
  });
});
