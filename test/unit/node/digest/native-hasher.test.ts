import { closeSync, existsSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
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

  it.skipIf(without !== '')(`gives the same in threads that share the blocks${without}`, async () => {
    const hasher = hasherNamed(name);
    // Around the pieces of 64 blocks that a thread takes.
    for (const count of [0, 1, 63, 64, 65, 500]) {
      const blocks = xorshiftBytes(count + 1, count * BLOCK_BYTES);
      const whole = expected(blocks);
      for (const threads of [1, 2, 5, 64]) {
        const out = new Uint8Array(count * HASH_BYTES);
        await hasher.hashAsync(blocks, out, threads);
        expect(toHex(out), `${count} blocks, ${threads} threads`).toBe(whole);
      }
    }
  });

  it.skipIf(without !== '')(`hashes any range of a file${without}`, async () => {
    const hasher = hasherNamed(name);
    const bytes = xorshiftBytes(9, 200 * BLOCK_BYTES + 17);
    await withFile(bytes, async (descriptor) => {
      for (const offset of [0, 1, 64 * BLOCK_BYTES, 199 * BLOCK_BYTES]) {
        for (const length of [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, 64 * BLOCK_BYTES + 1, bytes.length]) {
          const present = Math.min(length, bytes.length - offset);
          const out = new Uint8Array(Math.ceil(length / BLOCK_BYTES) * HASH_BYTES);
          const reached = await hasher.hashFile(descriptor, offset, length, out);
          expect(reached, `${length} bytes from ${offset}`).toBe(present);
          if (present === length)
            expect(toHex(out)).toBe(expected(padded(bytes.subarray(offset, offset + length))));
        }
      }
    });
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

/** Work with the descriptor of a file of these bytes. */
async function withFile(bytes: Uint8Array, work: (descriptor: number) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'hasher-'));
  writeFileSync(join(folder, 'bytes'), bytes);
  const descriptor = openSync(join(folder, 'bytes'), 'r');
  try {
    await work(descriptor);
  } finally {
    closeSync(descriptor);
    rmSync(folder, { recursive: true });
  }
}

function padded(bytes: Uint8Array): Uint8Array {
  const blocks = new Uint8Array(Math.ceil(bytes.length / BLOCK_BYTES) * BLOCK_BYTES);
  blocks.set(bytes);
  return blocks;
}

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

  it.skipIf(none !== '')(
    `reads from a descriptor of its own, and tells what the system says${none}`,
    async () => {
      const hasher = hasherNamed(names[0] ?? '');
      const bytes = xorshiftBytes(12, 1000 * BLOCK_BYTES);
      const out = new Uint8Array(1000 * HASH_BYTES);
      let reading: Promise<number> | undefined;
      await withFile(bytes, async (descriptor) => {
        reading = hasher.hashFile(descriptor, 0, bytes.length, out);
      });
      // Closed and removed by now.
      expect(await reading).toBe(bytes.length);
      expect(toHex(out)).toBe(expected(bytes));
      const directory = openSync(tmpdir(), 'r');
      await expect(hasher.hashFile(directory, 0, 4096, out.subarray(0, HASH_BYTES))).rejects.toMatchObject({
        code: 'SYSTEM',
        errno: -constants.errno.EISDIR,
        message: expect.stringContaining('pread failed'),
      });
      closeSync(directory);
      expect(() => hasher.hashFile(directory, 0, 4096, out.subarray(0, HASH_BYTES))).toThrow(
        expect.objectContaining({ code: 'SYSTEM', errno: -constants.errno.EBADF }),
      );
    },
  );

  it.skipIf(none !== '')(`checks its arguments again at the addon's border${none}`, () => {
    const path = addonPaths().find((candidate) => existsSync(candidate)) ?? '';
    const addon: Record<'hashBlocks' | 'hashBlocksAsync' | 'hashFileAsync', (...args: unknown[]) => void> =
      createRequire(import.meta.url)(path);
    const block = new Uint8Array(BLOCK_BYTES);
    const hash = new Uint8Array(HASH_BYTES);
    const wrong: [keyof typeof addon, string, ...unknown[]][] = [
      ['hashBlocks', 'hasher', 'sha1', block, hash],
      ['hashBlocks', 'blocks', names[0], new Uint8Array(100), hash],
      ['hashBlocks', 'blocks', names[0], new Float32Array(1024), hash],
      ['hashBlocks', 'hashes', names[0], block, new Uint8Array(31)],
      ['hashBlocks', 'hashes', names[0], block, new Uint8Array(64)],
      ['hashBlocks', 'blocks', names[0], 'text', hash],
      ['hashBlocksAsync', 'threads', names[0], block, hash, 0],
      ['hashBlocksAsync', 'threads', names[0], block, hash, 65],
      ['hashBlocksAsync', 'hashes', names[0], block, new Uint8Array(33), 1],
      ['hashFileAsync', 'hasher', 'sha1', 0, 0, 4096, hash, 1],
      ['hashFileAsync', 'descriptor', names[0], -1, 0, 4096, hash, 1],
      ['hashFileAsync', 'offset', names[0], 0, 2 ** 53, 4096, hash, 1],
      ['hashFileAsync', 'length', names[0], 0, 0, 0.5, hash, 1],
      ['hashFileAsync', 'hashes', names[0], 0, 0, 4097, hash, 1],
      ['hashFileAsync', 'threads', names[0], 0, 0, 4096, hash, 0],
    ];
    for (const [call, argument, ...given] of wrong) {
      expect(() => addon[call](...given), `${call}: ${argument}`).toThrow(argument);
    }
  });
});
