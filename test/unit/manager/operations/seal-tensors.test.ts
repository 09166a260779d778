import { createHash } from 'node:crypto';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { CutLimits, Device } from '../../../../src/device/index.js';
import { createPortableEngine } from '../../../../src/digest/index.js';
import { VramManager } from '../../../../src/manager/index.js';
import { manifestBytes, type TensorSource, tensorSource } from '../../../../src/models/index.js';
import { openModel } from '../../../../src/node/files/model-files.js';
import { bytesSource } from '../../../../src/source/index.js';
import { webGpuTargets } from '../../../support/backends.js';
import { FIXTURE_FILES, fixtures } from '../../../support/fixtures.js';
import { type MadeFile, packedByHand, rising, tensorModel } from '../../../support/tensor-model.js';
import { failure, openHost, overlay, platform } from '../fixture.js';

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Two files; with a tensor of several groups of 512 KiB. */
const FILES: readonly MadeFile[] = [
  {
    name: 'one.safetensors',
    bytes: rising(20_000, 31, 7),
    tensors: [
      { name: 'a', at: 8, length: 4096 },
      { name: 'b', at: 4104, length: 9000 },
    ],
  },
  {
    name: 'two.safetensors',
    bytes: rising(600_000, 17, 3),
    tensors: [
      { name: 'c', at: 100, length: 530_000 },
      { name: 'd', at: 530_100, length: 77 },
    ],
  },
];
const PACKED = packedByHand(FILES);
/** For software GPUs, which hash a few MB a second. */
const FEW: readonly MadeFile[] = [
  {
    name: 'few.safetensors',
    bytes: rising(40_000, 17, 3),
    tensors: [
      { name: 'a', at: 8, length: 4096 },
      { name: 'b', at: 4104, length: 9000 },
      { name: 'c', at: 14_000, length: 20_000 },
      { name: 'd', at: 39_000, length: 77 },
    ],
  },
];
const source = (): TensorSource => tensorSource(tensorModel(FILES));

async function fsverity(bytes: Uint8Array): Promise<string> {
  const engine = createPortableEngine();
  const stream = engine.start({ byteLength: bytes.length, sha256: false, keep: 'root' });
  await stream.update(bytes);
  const { fsverity: digest } = await stream.finish();
  await engine.close();
  return digest;
}

describe('a seal of tensors', () => {
  it('says which tensors of which files it is of, and gives the manifest back', async () => {
    const { manager, recorder } = await openHost();
    const given = source();
    const sealed = await manager.seal(given, { shardId: 'model' });
    expect(sealed).toMatchObject({
      v: 2,
      layout: 'tensors',
      shared: false,
      byteLength: PACKED.length,
      sha256: sha256(PACKED),
      fsverity: await fsverity(PACKED),
      tensors: sha256(manifestBytes(given.manifest)),
      source: await Promise.all(
        FILES.map(async ({ bytes }) => ({
          sha256: sha256(bytes),
          fsverity: await fsverity(bytes),
          byteLength: bytes.length,
        })),
      ),
    });
    expect(sealed.manifest).toEqual(given.manifest);
    expect(Object.keys(sealed.toJSON())).not.toContain('manifest');
    expect(await manager.verify(sealed)).toMatchObject({ verified: true });
    expect(await manager.verify(JSON.stringify(sealed))).toMatchObject({ verified: true });
    expect(recorder.of('vram.sealed')[0]).toMatchObject({
      packed: {
        manifestSha256: sealed.tensors,
        tensors: 4,
        files: 2,
        buffers: 4,
        paddingBytes: PACKED.length - 4096 - 9000 - 530_000 - 77,
      },
    });
    await manager.close();
  });

  it('is of version 1, with exactly its keys, where there is no manifest', async () => {
    const { manager, recorder } = await openHost();
    const sealed = await manager.seal(bytesSource(PACKED));
    expect(sealed.v).toBe(1);
    expect(Object.keys(sealed)).toHaveLength(17);
    expect(sealed.manifest).toBeNull();
    expect(recorder.of('vram.sealed')[0]).toMatchObject({ packed: null });
    await manager.close();
  });

  it('leaves the flat hash of the files out with that of the shard', async () => {
    const { manager } = await openHost();
    const sealed = await manager.seal(source(), { digests: ['fsverity'] });
    expect([sealed.sha256, ...(sealed.source ?? []).map((file) => file.sha256)]).toEqual([null, null, null]);
    await manager.close();
  });

  it.each([
    ['a key left out', ({ shared: _, ...rest }: Record<string, unknown>) => rest],
    ['another layout', (handle: Record<string, unknown>) => ({ ...handle, layout: 'bytes' })],
    ['another manifest', (handle: Record<string, unknown>) => ({ ...handle, tensors: '0'.repeat(64) })],
    ['no files', (handle: Record<string, unknown>) => ({ ...handle, source: null })],
    ['files that are text', (handle: Record<string, unknown>) => ({ ...handle, source: 'a' })],
    ['a file that is text', (handle: Record<string, unknown>) => ({ ...handle, source: ['a'] })],
    [
      'a file with a key too many',
      (handle: Record<string, unknown>) => ({
        ...handle,
        source: [{ byteLength: 1, sha256: null, fsverity: null, a: 1 }],
      }),
    ],
    [
      'a file without its size',
      (handle: Record<string, unknown>) => ({ ...handle, source: [{ sha256: null, fsverity: null }] }),
    ],
    [
      'too many files',
      (handle: Record<string, unknown>) => ({
        ...handle,
        source: Array(4097).fill({ byteLength: 1, sha256: null, fsverity: null }),
      }),
    ],
    ['shared memory', (handle: Record<string, unknown>) => ({ ...handle, shared: true })],
    ['version 1', (handle: Record<string, unknown>) => ({ ...handle, v: 1 })],
    [
      'version 1 and its keys',
      ({ layout: _l, tensors: _t, source: _s, shared: _h, ...rest }: Record<string, unknown>) => ({
        ...rest,
        v: 1,
      }),
    ],
  ])('[CI-002] does not verify with %s', async (_name, change) => {
    const { manager } = await openHost();
    const sealed = await manager.seal(source());
    const changed = change({ ...sealed.toJSON() });
    for (const handle of [changed, JSON.stringify(changed)]) {
      expect(await failure(manager.verify(handle as never))).toMatchObject({
        code: 'SEAL_VERIFICATION_FAILED',
      });
    }
    expect(await manager.verify(sealed)).toMatchObject({ verified: true });
    await manager.close();
  });
});

describe('what a seal of tensors expects', () => {
  it('is the packed digest, and those of the published files', async () => {
    const { manager } = await openHost();
    const digests = [
      `sha256:${sha256(FILES[0]?.bytes ?? PACKED)}`,
      await fsverity(FILES[1]?.bytes ?? PACKED),
    ];
    await manager.seal(source(), { expected: await fsverity(PACKED), expectedFiles: digests });
    for (const sums of [undefined, ['fsverity'] as const]) {
      await manager.seal(source(), { digests: sums, expectedFiles: [null, digests[1] ?? null] });
    }
    for (const [index, wrong] of [
      `sha256:${'0'.repeat(64)}`,
      `fsverity-sha256-12:${'0'.repeat(64)}`,
    ].entries()) {
      const expectedFiles = digests.map((digest, at) => (at === index ? wrong : digest));
      const error = await failure(manager.seal(source(), { expectedFiles }));
      expect(error).toMatchObject({ code: 'SOURCE_MISMATCH' });
      expect(error.message).toContain(FILES[index]?.name);
    }
    const other = await failure(manager.seal(source(), { expected: `sha256:${'0'.repeat(64)}` }));
    expect(other).toMatchObject({ code: 'SOURCE_MISMATCH' });
    expect(manager.status().liveShards).toBe(3);
    await manager.close();
  });

  it.each([
    ['expectedFiles', { expectedFiles: ['sha256:00'] }],
    ['expectedFiles', { expectedFiles: [null] }],
    ['expectedFiles', { expectedFiles: 'a' as never }],
    ['expectedFiles', { digests: ['fsverity'] as const, expectedFiles: [`sha256:${'0'.repeat(64)}`, null] }],
  ])('is refused before anything is allocated: %s', async (argument, options) => {
    const { manager, recorder } = await openHost();
    expect(await failure(manager.seal(source(), options))).toMatchObject({ code: 'INVALID_INPUT', argument });
    expect(recorder.of('vram.allocated')).toHaveLength(0);
    await manager.close();
  });

  it('needs sha256 among the digests for any file that is expected by it', async () => {
    const { manager } = await openHost();
    const expectedFiles = [null, `sha256:${'0'.repeat(64)}`];
    expect(await failure(manager.seal(source(), { digests: ['fsverity'], expectedFiles }))).toMatchObject({
      code: 'INVALID_INPUT',
      message: '"expectedFiles" has a sha256 that "digests" leaves out: add "sha256" there',
    });
    await manager.close();
  });

  it('is for tensors alone', async () => {
    const { manager } = await openHost();
    const error = await failure(manager.seal(bytesSource(PACKED), { expectedFiles: [null] }));
    expect(error).toMatchObject({ code: 'INVALID_INPUT', argument: 'expectedFiles' });
    await manager.close();
  });
});

describe('a tensor source of anybody', () => {
  const over = (change: object): TensorSource => Object.assign(Object.create(source()), change);
  it.each([
    ['source', { byteLength: PACKED.length - 1 }],
    ['source.manifest', { manifest: { v: 1, files: [], tensors: [] } }],
    ['source.cuts', { cuts: undefined }],
    ['source.cuts', { cuts: [] }],
    ['source.cuts', { cuts: [4096] }],
    ['source.cuts', { cuts: [0, 8192] }],
    ['source.cuts', { cuts: [0, 4096, 4096] }],
    ['source.cuts', { cuts: [0, PACKED.length] }],
  ])('is refused with the argument: %s %j', async (argument, change) => {
    const { manager, recorder } = await openHost();
    const error = await failure(manager.seal(over(change)));
    expect(error).toMatchObject({ code: 'INVALID_INPUT' });
    expect(error).toHaveProperty('argument', expect.stringContaining(argument));
    expect(recorder.of('vram.allocated')).toHaveLength(0);
    await manager.close();
  });

  it('is refused if it does not show its files whole and in order', async () => {
    const { manager } = await openHost();
    const plain = bytesSource(PACKED);
    const shown: ((tell: (file: number, bytes: Uint8Array) => Promise<void>) => Promise<void>)[] = [
      async () => undefined,
      async (tell) => await tell(1, FILES[1]?.bytes ?? PACKED),
      async (tell) => await tell(0, new Uint8Array(20_001)),
      async (tell) => await tell(0, new Uint8Array(19_999)),
    ];
    for (const tell of shown) {
      const stream = async function* (options: { chunkBytes: number; onFileBytes?: never }) {
        await tell(options.onFileBytes ?? (async () => undefined));
        yield* plain.stream(options);
      };
      const error = await failure(manager.seal(over({ stream })));
      expect(['INVALID_INPUT', 'SOURCE_MISMATCH']).toContain(error.code);
    }
    expect((await manager.capacity()).usedBytes).toBe(0);
    await manager.close();
  });
});

describe('where a cut makes a buffer', () => {
  /** The host device, as if it made buffers; what it was asked for is kept. */
  async function openWith(cutLimits: CutLimits | null) {
    const asked: (readonly number[] | undefined)[] = [];
    const opened = await openHost({
      wrap: (device) =>
        overlay(device, {
          cutLimits,
          allocate: async (...request: Parameters<Device['allocate']>) => {
            asked.push(request[1]?.cuts);
            return await device.allocate(...request);
          },
        }),
    });
    return { ...opened, asked };
  }

  it('is told to the device', async () => {
    const { manager, asked } = await openWith({ maxBuffers: 4, maxRunBytes: 2 ** 20 });
    const given = source();
    await manager.seal(given);
    await manager.seal(bytesSource(PACKED));
    expect(asked).toEqual([given.cuts, undefined]);
    await manager.close();
  });

  it('[MS-003] too many of them are refused with the figures, unless small tensors share one', async () => {
    const { manager, asked } = await openWith({ maxBuffers: 3, maxRunBytes: 2 ** 20 });
    const error = await failure(manager.seal(source()));
    expect(error).toMatchObject({ code: 'INVALID_INPUT', argument: 'source' });
    expect(error.message).toContain('needs 4 buffers, and this device supports 3');
    expect(asked).toEqual([]);
    await manager.seal(tensorSource(tensorModel(FILES), { minBytes: 10_000 }));
    expect(asked[0]).toHaveLength(3);
    await manager.close();
  });

  it('one that is too large is refused by its name', async () => {
    const { manager } = await openWith({ maxBuffers: 100, maxRunBytes: 528_384 });
    const error = await failure(manager.seal(source()));
    expect(error).toMatchObject({ code: 'INVALID_INPUT', argument: 'source' });
    expect(error.message).toContain('a buffer of 532480 bytes for the tensor "c"');
    await manager.close();
  });

  it('more than 5 % padding is refused with the figures, unless it is accepted', async () => {
    const sizes = (length: number) =>
      tensorModel([
        {
          name: 'x',
          bytes: new Uint8Array(200_000),
          tensors: [0, 1, 2].map((index) => ({ name: `t${index}`, at: index * 50_000, length })),
        },
      ]);
    const { manager } = await openWith({ maxBuffers: 100, maxRunBytes: 2 ** 20 });
    // 10 blocks each: at 38,912 bytes of 40,960 exactly 5 % are zeros.
    await manager.seal(tensorSource(sizes(38_912)));
    const error = await failure(manager.seal(tensorSource(sizes(38_911))));
    expect(error).toMatchObject({ code: 'INVALID_INPUT', argument: 'source' });
    expect(error.message).toContain('6147 of 122880 bytes (5.0 %)');
    await manager.seal(tensorSource(sizes(38_911), { minBytes: 1 }));
    await manager.close();
    const anywhere = await openWith(null);
    await anywhere.manager.seal(tensorSource(sizes(1)));
    await anywhere.manager.close();
  });
});

const webgpu = (await webGpuTargets()).filter(({ target }) => target !== null);

describe('the buffer of a tensor', () => {
  it.skipIf(webgpu.length === 0)('is a whole STORAGE buffer inside execute, and nowhere else', async () => {
    for (const { target } of webgpu) {
      if (target === null) continue;
      const device = await target.open();
      const manager = await VramManager.open({ device, workerId: 'w', policy: 'any' }, platform());
      const given = tensorSource(tensorModel(FEW), { minBytes: 5000 });
      const sealed = await manager.seal(given);
      let kept: ((tensor: string) => GPUBuffer) | null = null;
      const sizes = await manager.execute(sealed, (lease) => {
        kept = lease.buffer;
        expect(lease.buffer('b')).toBe(lease.buffer('b'));
        expect(lease.buffer('b')).not.toBe(lease.buffer('c'));
        expect(() => lease.buffer('x')).toThrow('"tensor" names no tensor of this shard');
        return ['b', 'c'].map((name) => [lease.buffer(name).size, lease.buffer(name).usage]);
      });
      expect(sizes).toEqual([
        [12_288, 0x80],
        [20_480, 0x80],
      ]);
      expect(() => kept?.('b')).toThrow(expect.objectContaining({ code: 'NOT_FOUND' }));
      const bytes = await manager.seal(bytesSource(new Uint8Array(9)));
      await manager.execute(bytes, (lease) => {
        expect(() => lease.buffer('b')).toThrow('was sealed as bytes');
      });
      const small = tensorSource(tensorModel(FEW), { minBytes: 10_000 });
      await manager.execute(await manager.seal(small), (lease) => {
        expect(() => lease.buffer('b')).toThrow('"b", which shares a buffer with others');
      });
      await manager.close();
      await device.close();
    }
  });

  it('is refused on a device that has one mapping', async () => {
    const { manager } = await openHost();
    await manager.execute(await manager.seal(source()), (lease) => {
      expect(() => lease.buffer('a')).toThrow('"tensor" has no buffer: on this device (host)');
    });
    await manager.close();
  });
});

describe('real weights', () => {
  it.each(Object.entries(FIXTURE_FILES))('heal from the files they came in: %s', async (_format, file) => {
    const model = await openModel(join(fixtures(), 'silero', file));
    const { manager } = await openHost();
    const given = tensorSource(model);
    const sealed = await manager.seal(given);
    expect(sealed.source).toEqual(
      await Promise.all(
        model.shards.map(async ({ path }) => {
          const bytes = readFileSync(path);
          return { sha256: sha256(bytes), fsverity: await fsverity(bytes), byteLength: bytes.length };
        }),
      ),
    );
    await manager.drill(sealed, { flips: 3, seed: 1 });
    await failure(manager.verify(sealed));
    const fresh = tensorSource(await openModel(join(fixtures(), 'silero', file)));
    expect((await manager.heal(sealed, fresh)).healedBlocks).toBe(3);
    await fresh.close();
    expect(await manager.verify(sealed)).toMatchObject({ verified: true });
    await manager.close();
  });

  it('[IV-006] are not sealed from a file that was changed since its tensors were read', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'tensors-'));
    const path = join(directory, basename(FIXTURE_FILES.single));
    copyFileSync(join(fixtures(), 'silero', FIXTURE_FILES.single), path);
    const model = await openModel(path);
    writeFileSync(path, readFileSync(path));
    utimesSync(path, 1, 1);
    const { manager } = await openHost();
    expect(await failure(manager.seal(tensorSource(model)))).toMatchObject({ code: 'SOURCE_MISMATCH' });
    await manager.close();
    rmSync(directory, { recursive: true });
  });
});
