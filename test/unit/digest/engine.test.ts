import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { toHex } from '../../../src/base/hex.js';
import { fsverityDescriptor } from '../../../src/digest/descriptor.js';
import { createPortableEngine, treeLayout } from '../../../src/digest/index.js';
import type { DigestEngine, KeepLevel } from '../../../src/digest/types.js';
import { createNodeEngine } from '../../../src/node/digest/create-engine.js';
import { stride } from '../../support/stride.js';
import { xorshiftBytes } from '../../support/xorshift.js';
import { ENGINE_NAMES, engineOf, feed, inHex, naiveTree, sha256 } from './engines.js';

interface Vector {
  readonly size: number;
  readonly seed: number;
  readonly sha256: string;
  readonly fsverity: string;
}
const { cases }: { cases: Vector[] } = JSON.parse(
  readFileSync(new URL('../../vectors/fsverity.json', import.meta.url), 'utf8'),
);
/** Without the two of 64 MiB in mutation testing. */
const known = stride(2) === 1 ? cases : cases.filter(({ size }) => size < 2 ** 24);
const fsverityMissing = spawnSync('fsverity', ['--version']).error !== undefined;

function refused(code: string, argument?: string) {
  return expect.objectContaining({
    name: 'VramError',
    code,
    ...(argument === undefined ? {} : { argument }),
  });
}

it('has all cases of the vector file', () => {
  expect(cases).toHaveLength(16);
});

describe.each(ENGINE_NAMES)('digest engine %s', (name) => {
  let engine: DigestEngine;
  beforeAll(() => {
    engine = engineOf(name);
  });
  afterAll(() => engine.close());

  async function digest(bytes: Uint8Array, chunkSizes: readonly number[], keep: KeepLevel = 'leaves') {
    const stream = engine.start({ byteLength: bytes.length, sha256: true, keep });
    await feed(stream, bytes, chunkSizes);
    return stream.finish();
  }

  it('says its name', () => {
    expect(engine.name).toBe(name);
  });

  it.each(known)('[CI-008] gives the known answers for $size bytes', async (vector) => {
    const bytes = xorshiftBytes(vector.seed, vector.size);
    const result = await digest(bytes, [1 << 20], 'root');
    expect(result).toEqual({
      byteLength: vector.size,
      sha256: vector.sha256,
      fsverity: `fsverity-sha256-12:${vector.fsverity}`,
      root: expect.any(Uint8Array),
      groups: null,
      leaves: null,
    });
    expect(toHex(sha256(fsverityDescriptor(vector.size, result.root)))).toBe(vector.fsverity);
  });

  it.each([0, 1, 4096, 4097, 65_536, 65_537, 524_288, 524_289, 2_097_152, 2_097_153, 5_000_001])(
    '[CI-008] keeps root, groups and leaves of %d bytes, in any chunking',
    async (size) => {
      const bytes = xorshiftBytes(size + 1, size);
      const tree = naiveTree(bytes);
      const leaves = tree[0] ?? new Uint8Array();
      const groups = tree[1] ?? leaves;
      const root = tree.at(-1) ?? new Uint8Array(32);
      expect(tree.map((level) => level.length / 32)).toEqual(
        treeLayout(size).levels.map(({ nodes }) => nodes),
      );
      const expected = inHex({ root, groups, leaves });
      for (const chunks of [[size], [1000, 4096, 7, 70_000], [65_536], [1 << 20, 1]]) {
        const result = await digest(bytes, chunks);
        expect(inHex(result)).toEqual(expected);
        expect(result.sha256).toBe(toHex(sha256(bytes)));
      }
      expect(inHex(await digest(bytes, [size], 'groups'))).toEqual({ ...expected, leaves: null });
      expect(inHex(await digest(bytes, [size], 'root'))).toEqual({ ...expected, groups: null, leaves: null });
    },
  );

  it('builds every level of a big tree: 260 MiB, level 1 longer than four blocks of hashes', async () => {
    const mebibytes = 260 / stride(4);
    const chunk = xorshiftBytes(11, 1 << 20);
    const [part = new Uint8Array()] = naiveTree(chunk);
    const leaves = new Uint8Array(mebibytes * part.length);
    for (let i = 0; i < mebibytes; i++) leaves.set(part, i * part.length);
    const above = naiveTree(leaves);
    const stream = engine.start({ byteLength: mebibytes << 20, sha256: false, keep: 'groups' });
    for (let i = 0; i < mebibytes; i++) await stream.update(chunk);
    const root = above.at(-1) ?? new Uint8Array();
    const groups = above[0] ?? null;
    expect(inHex(await stream.finish())).toEqual(inHex({ root, groups, leaves: null }));
  });

  it('leaves the flat hash out when it is not asked for', async () => {
    for (const size of [0, 5000, 4_200_000]) {
      const bytes = xorshiftBytes(3, size);
      const stream = engine.start({ byteLength: size, sha256: false, keep: 'root' });
      await feed(stream, bytes, [size]);
      expect(await stream.finish()).toMatchObject({
        sha256: null,
        root: naiveTree(bytes).at(-1) ?? new Uint8Array(32),
      });
    }
  });

  it.each([0, 1, 4096, 40_000, 4_194_304, 4_194_305])(
    'hashes %d bytes as leaves, as nodes and flat',
    async (size) => {
      const bytes = xorshiftBytes(5, size);
      const [leaves = new Uint8Array()] = naiveTree(bytes);
      expect(toHex(await engine.leaves(bytes))).toBe(toHex(leaves));
      expect(await engine.sha256(bytes)).toEqual(sha256(bytes));
      const hashes = bytes.subarray(0, size - (size % 32));
      expect(toHex(await engine.nodes(hashes))).toBe(toHex(naiveTree(hashes)[0] ?? new Uint8Array()));
      await expect(engine.nodes(new Uint8Array(33))).rejects.toEqual(refused('INVALID_INPUT', 'hashes'));
    },
  );

  it.each([100, 5_000_000])('[IV-006] refuses a stream of %d bytes that ends elsewhere', async (size) => {
    const short = engine.start({ byteLength: size, sha256: true, keep: 'root' });
    await short.update(new Uint8Array(size - 1));
    await expect(short.finish()).rejects.toEqual(refused('SOURCE_MISMATCH'));
    const long = engine.start({ byteLength: size, sha256: true, keep: 'root' });
    await long.update(new Uint8Array(size));
    await expect(long.update(new Uint8Array(1))).rejects.toEqual(refused('SOURCE_MISMATCH'));
    await expect(long.finish()).rejects.toEqual(refused('ABORTED'));
  });

  it.each([100, 5_000_000])('ends a stream of %d bytes on abort, and goes on with others', async (size) => {
    const bytes = xorshiftBytes(8, size);
    const stream = engine.start({ byteLength: size, sha256: true, keep: 'root' });
    const under = stream.update(bytes.subarray(0, size - 10));
    const settled = under.then(
      () => 'done',
      (error: unknown) => error,
    );
    stream.abort();
    stream.abort();
    expect(['done', refused('ABORTED')]).toContainEqual(await settled);
    await expect(stream.update(bytes.subarray(0, 10))).rejects.toEqual(refused('ABORTED'));
    await expect(stream.finish()).rejects.toEqual(refused('ABORTED'));
    expect((await digest(bytes, [size])).sha256).toBe(toHex(sha256(bytes)));
    const finished = engine.start({ byteLength: 0, sha256: true, keep: 'root' });
    await finished.finish();
    finished.abort();
  });

  it.each([100, 5_000_000])('keeps the order of calls that nobody waits for (%d bytes)', async (size) => {
    const bytes = xorshiftBytes(9, size);
    const stream = engine.start({ byteLength: size, sha256: true, keep: 'root' });
    const cut = Math.floor(size / 3);
    const [, , result] = await Promise.all([
      stream.update(bytes.subarray(0, cut)),
      stream.update(bytes.subarray(cut)),
      stream.finish(),
    ]);
    expect(result).toMatchObject({ sha256: toHex(sha256(bytes)), root: naiveTree(bytes).at(-1) });
    await expect(stream.finish()).rejects.toEqual(refused('INVALID_INPUT', 'stream'));
  });

  it('pads messages of every length up to two chunks', async () => {
    const bytes = xorshiftBytes(31, 193);
    for (let size = 0; size <= bytes.length; size++) {
      const message = bytes.subarray(0, size);
      expect(toHex(await engine.sha256(message))).toBe(toHex(sha256(message)));
      expect((await digest(message, [50])).sha256).toBe(toHex(sha256(message)));
    }
  });

  it.each([100, 5_000_000])('rejects a finish of %d bytes that abort() overtakes', async (size) => {
    const stream = engine.start({ byteLength: size, sha256: true, keep: 'root' });
    await stream.update(new Uint8Array(size));
    const finished = expect(stream.finish()).rejects.toEqual(refused('ABORTED'));
    stream.abort();
    await finished;
  });

  it('keeps streams apart that run at once', async () => {
    const results = await Promise.all(
      [4_200_000, 10, 5_000_000, 70_000, 0, 4_300_000, 600_000].map(async (size, i) => {
        const bytes = xorshiftBytes(i + 20, size);
        return [await digest(bytes, [300_000]), toHex(sha256(bytes)), naiveTree(bytes).at(-1)] as const;
      }),
    );
    for (const [result, flat, root = new Uint8Array(32)] of results)
      expect(result).toMatchObject({ sha256: flat, root });
  });

  it.each([
    ['byteLength', { byteLength: -1 }],
    ['byteLength', { byteLength: 1.5 }],
    ['byteLength', { byteLength: 2 ** 53 }],
    ['keep', { keep: 'all' }],
    ['sha256', { sha256: 'yes' }],
  ])('refuses a bad "%s"', (argument, bad) => {
    const request = { byteLength: 1, sha256: true, keep: 'root', ...bad };
    expect(() => Reflect.apply(engine.start, engine, [request])).toThrow(refused('INVALID_INPUT', argument));
  });

  it('refuses a chunk that is not a Uint8Array', async () => {
    const stream = engine.start({ byteLength: 1, sha256: true, keep: 'root' });
    await expect(Reflect.apply(stream.update, stream, ['a'])).rejects.toEqual(
      refused('INVALID_INPUT', 'chunk'),
    );
    await expect(Reflect.apply(engine.leaves, engine, ['a'])).rejects.toEqual(
      refused('INVALID_INPUT', 'bytes'),
    );
    await expect(Reflect.apply(engine.sha256, engine, ['a'])).rejects.toEqual(
      refused('INVALID_INPUT', 'bytes'),
    );
  });
});

describe('choice of engine', () => {
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  it('is native on Node, and what VRAM_RESIDENCY_DIGEST names', () => {
    vi.stubEnv('VRAM_RESIDENCY_DIGEST', undefined);
    expect(createNodeEngine().name).toBe('native');
    for (const name of ENGINE_NAMES) {
      vi.stubEnv('VRAM_RESIDENCY_DIGEST', name);
      expect(createNodeEngine().name).toBe(name);
      expect(createNodeEngine('wasm').name).toBe('wasm');
    }
    vi.stubEnv('VRAM_RESIDENCY_DIGEST', 'sha1');
    expect(() => createNodeEngine()).toThrow(refused('INVALID_INPUT', 'VRAM_RESIDENCY_DIGEST'));
    vi.stubEnv('VRAM_RESIDENCY_DIGEST', '');
    expect(() => createNodeEngine()).toThrow(refused('INVALID_INPUT', 'VRAM_RESIDENCY_DIGEST'));
    expect(() => Reflect.apply(createNodeEngine, null, ['md5'])).toThrow(refused('INVALID_INPUT', 'engine'));
  });

  it('is wasm in portable code, hash-wasm where SIMD is missing', () => {
    expect(createPortableEngine().name).toBe('wasm');
    expect(createPortableEngine('hash-wasm').name).toBe('hash-wasm');
    expect(() => Reflect.apply(createPortableEngine, null, ['native'])).toThrow(
      refused('INVALID_INPUT', 'engine'),
    );
    const validate = vi.spyOn(WebAssembly, 'validate').mockReturnValue(false);
    expect(createPortableEngine().name).toBe('hash-wasm');
    expect(() => createPortableEngine('wasm')).toThrow(refused('INVALID_INPUT', 'engine'));
    validate.mockRestore();
  });
});

describe('worker threads of the native engine', () => {
  it('end on close(), which fails a stream under way, and start again', async () => {
    const engine = createNodeEngine('native');
    const bytes = xorshiftBytes(4, 6_000_000);
    const stream = engine.start({ byteLength: bytes.length, sha256: true, keep: 'root' });
    await stream.update(bytes);
    await engine.close();
    await expect(stream.finish()).rejects.toEqual(refused('ABORTED'));
    expect(await engine.leaves(bytes)).toEqual(naiveTree(bytes)[0]);
    await engine.close();
    await engine.close();
  });
});

describe.skipIf(fsverityMissing)(
  `the fsverity program${fsverityMissing ? ' (SKIPPED: not installed; Debian package "fsverity")' : ''}`,
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'digest-'));
    afterAll(() => rmSync(folder, { recursive: true }));

    const sizes = [0, 1, 4096, 4097, 524_288, 524_289, 2_097_153, 9_999_999];
    it.each(sizes.filter((_, i) => i % stride(4) === 0))('agrees on %d bytes', async (size) => {
      const bytes = xorshiftBytes(size + 77, size);
      const file = join(folder, `${size}.bin`);
      writeFileSync(file, bytes);
      const printed = execFileSync('fsverity', [
        'digest',
        '--compact',
        '--hash-alg=sha256',
        '--block-size=4096',
        file,
      ]);
      for (const name of ENGINE_NAMES) {
        const engine = engineOf(name);
        const stream = engine.start({ byteLength: size, sha256: false, keep: 'root' });
        await stream.update(bytes);
        expect((await stream.finish()).fsverity).toBe(`fsverity-sha256-12:${printed.toString().trim()}`);
        await engine.close();
      }
    });
  },
);
