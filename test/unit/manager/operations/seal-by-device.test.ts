import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { VramError } from '../../../../src/base/errors.js';
import type { Region } from '../../../../src/device/index.js';
import { createPortableEngine, type DigestEngine } from '../../../../src/digest/index.js';
import { tensorSource } from '../../../../src/models/index.js';
import { bytesSource } from '../../../../src/source/index.js';
import { overlay } from '../../../contract/broken.js';
import { type MadeFile, packedByHand, rising, tensorModel } from '../../../support/tensor-model.js';
import { failure, lieAboutRoot, openHost, pattern, type Recorder, wrapRegions } from '../fixture.js';

const GROUP = 524_288;

const fsverity = async (bytes: Uint8Array): Promise<string> => {
  const stream = createPortableEngine().start({ byteLength: bytes.length, sha256: false, keep: 'root' });
  await stream.update(bytes);
  return (await stream.finish()).fsverity;
};

/** An engine that refuses to hash a source, and counts the bytes that it hashes otherwise. */
function idleEngine(): { readonly engine: DigestEngine; hashed: number } {
  const whole = createPortableEngine();
  const seen = { engine: whole, hashed: 0 };
  seen.engine = overlay(whole, {
    start: () => {
      throw new Error('the host was asked to hash the source');
    },
    leaves: () => Promise.reject(new Error('the host was asked to hash blocks')),
    nodes: (hashes) => {
      seen.hashed += hashes.length;
      return whole.nodes(hashes);
    },
  });
  return seen;
}

const FILES: readonly MadeFile[] = [
  {
    name: 'one.safetensors',
    bytes: rising(700_000, 31, 7),
    tensors: [
      { name: 'a', at: 8, length: 4097 },
      { name: 'b', at: 4200, length: 600_000 },
    ],
  },
];

describe("seal with hashing 'device'", () => {
  // The largest has more leaves than one fetch brings back.
  it.each([1, 4096, 4097, GROUP, GROUP + 1, 3 * GROUP + 5, 4097 * 4096])(
    '[CI-004] [CI-009] seals %i bytes that the device finds to be the expected ones; the host hashes next to nothing',
    async (byteLength) => {
      const bytes = pattern(byteLength);
      const expected = await fsverity(bytes);
      for (const keep of ['groups', 'leaves'] as const) {
        const idle = idleEngine();
        const { manager, recorder, device } = await openHost({ options: { engine: idle.engine, keep } });
        const shard = await manager.seal(bytesSource(bytes), { expected, hashing: 'device' });
        expect(shard).toMatchObject({ v: 1, byteLength, sha256: null, fsverity: expected });
        // Hashes of hashes: 32 bytes for each block, or each group of them.
        expect(idle.hashed).toBeLessThanOrEqual(byteLength / (keep === 'leaves' ? 100 : 16_000) + 128);
        expect(recorder.of('digest.computed')).toMatchObject([
          { where: 'device', sha256: null, fsverity: expected, engine: 'host' },
        ]);
        expect(recorder.of('operation.stage').map(({ stage }) => stage)).not.toContain('hash');
        expect(await manager.verify(shard)).toMatchObject({ verified: true });
        await manager.release(shard);
        expect(device.stats().liveRegions).toBe(0);
        await manager.close();
      }
    },
  );

  it.each(['groups', 'leaves'] as const)('localises and heals damage with the %s it kept', async (keep) => {
    const bytes = pattern(2 * GROUP + 9000);
    const expected = await fsverity(bytes);
    const regions: Region[] = [];
    const wrap = (device: Parameters<typeof wrapRegions>[0]) =>
      wrapRegions(device, (region) => {
        regions.push(region);
        return region;
      });
    const { manager } = await openHost({ options: { keep }, wrap });
    const source = bytesSource(bytes);
    const shard = await manager.seal(source, { expected, hashing: 'device' });
    await regions[0]?.faults?.flip(GROUP + 4097, 1);
    const { report } = await failure(manager.verify(shard, { source }));
    expect(report).toMatchObject({ damaged: [{ firstBlock: 129, blocks: 1 }] });
    expect(await manager.heal(shard, source)).toMatchObject({ healed: [{ firstBlock: 129, blocks: 1 }] });
    expect(await manager.verify(shard)).toMatchObject({ verified: true });
    await manager.close();
  });

  it('seals packed tensors by the digest of the packed sequence, and says that no file was hashed', async () => {
    const packed = packedByHand(FILES);
    const { manager } = await openHost({ options: { engine: idleEngine().engine } });
    const shard = await manager.seal(tensorSource(tensorModel(FILES)), {
      expected: await fsverity(packed),
      hashing: 'device',
    });
    expect(shard.toJSON()).toMatchObject({
      v: 2,
      layout: 'tensors',
      sha256: null,
      source: [{ sha256: null, fsverity: null, byteLength: 700_000 }],
    });
    expect(await manager.verify(shard)).toMatchObject({ verified: true });
    await manager.close();
  });

  describe('[CI-009] refuses before anything is allocated', () => {
    const bytes = pattern(5000);
    const sha256 = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    it.each([
      ['no expected digest', {}, 'expected', 'must hold the fsverity-sha256-12 digest of the source'],
      ['an expected sha256', { expected: sha256 }, 'expected', 'has a sha256'],
      [
        'a sha256 among them',
        { expected: [sha256, `fsverity-sha256-12:${'0'.repeat(64)}`] },
        'expected',
        'has a sha256',
      ],
      [
        'a flat hash asked for',
        { digests: ['sha256', 'fsverity'] as const },
        'digests',
        'must be ["fsverity"]',
      ],
    ])('%s', async (_, options, argument, message) => {
      const { manager, recorder } = await openHost();
      const error = await failure(manager.seal(bytesSource(bytes), { ...options, hashing: 'device' }));
      expect(error).toMatchObject({ code: 'INVALID_INPUT', argument });
      expect(error.message).toContain(message);
      expect(recorder.types()).not.toContain('vram.allocated');
      await manager.close();
    });

    it('another word for hashing', async () => {
      const { manager } = await openHost();
      const options: object = { hashing: 'gpu' };
      expect(await failure(manager.seal(bytesSource(bytes), options))).toMatchObject({
        code: 'INVALID_INPUT',
        argument: 'hashing',
      });
      await manager.close();
    });

    it('packed tensors without a digest of the packed sequence, and digests of their files', async () => {
      const { manager } = await openHost();
      const source = tensorSource(tensorModel(FILES));
      const none = await failure(manager.seal(source, { hashing: 'device' }));
      expect(none).toMatchObject({ code: 'INVALID_INPUT', argument: 'expected' });
      expect(none.message).toContain('of the packed tensors');
      // Without digests of files, and with those of the packed sequence, they are sealed.
      const expected = await fsverity(packedByHand(FILES));
      expect(
        await manager.seal(source, { hashing: 'device', expected, digests: ['fsverity'] }),
      ).toMatchObject({
        fsverity: expected,
      });
      const files = await failure(manager.seal(source, { hashing: 'device', expectedFiles: [null] }));
      expect(files).toMatchObject({
        code: 'INVALID_INPUT',
        argument: 'expectedFiles',
        message: '"expectedFiles" needs hashing "host": the device sees the packed tensors, not the files',
      });
      await manager.close();
    });
  });

  describe('seals nothing, wipes and frees', () => {
    const bytes = pattern(GROUP + 4097);
    const seen = { allocations: 0, unwiped: 0 };
    const inject = {
      freed: (segment: Uint8Array) => {
        seen.allocations++;
        if (segment.some((byte) => byte !== 0)) seen.unwiped++;
      },
    };

    async function refused(
      setting: Parameters<typeof openHost>[0],
      source = bytesSource(bytes),
    ): Promise<{ readonly error: Awaited<ReturnType<typeof failure>>; readonly recorder: Recorder }> {
      const { manager, recorder, device } = await openHost({ ...setting, inject });
      Object.assign(seen, { allocations: 0, unwiped: 0 });
      const expected = await fsverity(bytes);
      const error = await failure(manager.seal(source, { expected, hashing: 'device' }));
      expect(seen).toEqual({ allocations: 1, unwiped: 0 });
      expect(device.stats()).toMatchObject({ liveRegions: 0, liveBytes: 0 });
      expect(recorder.types()).not.toContain('vram.sealed');
      await manager.close();
      return { error, recorder };
    }

    it('[CI-009] where the bytes are others: the message says that nobody knows whose fault it is', async () => {
      const other = bytes.slice();
      other[GROUP] = (other[GROUP] ?? 0) ^ 1;
      const { error, recorder } = await refused({}, bytesSource(other));
      expect(error).toMatchObject({ code: 'SOURCE_MISMATCH' });
      expect(error.message).toContain(
        "the file, the bus or the device: seal with hashing 'host' to find out",
      );
      expect(recorder.of('seal.verification_failed')).toMatchObject([
        { expectedDigest: await fsverity(bytes), actualDigest: await fsverity(other), transient: false },
      ]);
    });

    it.each([
      ['wrong once', 1],
      ['wrong twice, and not alike', 2],
    ])('[CI-010] where the device’s answers are unlike: %s', async (_, times) => {
      const wrap = (device: Parameters<typeof lieAboutRoot>[0]) =>
        times === 1
          ? lieAboutRoot(device, 1)
          : wrapRegions(device, (region) => {
              let runs = 0;
              return overlay(region, {
                root: async (options) => {
                  const { root, blocks } = await region.root(options);
                  root[runs++] = (root[runs] ?? 0) ^ 1;
                  return { root, blocks };
                },
              });
            });
      const { error, recorder } = await refused({ wrap });
      expect(error).toMatchObject({ code: 'DEVICE_UNAVAILABLE' });
      expect(error.message).toContain('two different digests of the same bytes');
      expect(recorder.of('seal.verification_failed')).toMatchObject([{ transient: true }]);
    });

    it.each(['groups', 'leaves'] as const)(
      '[CI-010] where the %s to be kept do not lead to the root',
      async (keep) => {
        const wrap = (device: Parameters<typeof wrapRegions>[0]) =>
          wrapRegions(device, (region) =>
            overlay(region, {
              nodes: async (...args) => {
                const hashes = await region.nodes(...args);
                hashes[hashes.length - 1] = (hashes[hashes.length - 1] ?? 0) ^ 0x80;
                return hashes;
              },
            }),
          );
        const { error } = await refused({ wrap, options: { keep } });
        expect(error).toMatchObject({ code: 'DEVICE_UNAVAILABLE' });
        expect(error.message).toContain('do not lead to its own root');
      },
    );

    it('[IV-006] where the source has changed meanwhile', async () => {
      const changed = new VramError('SOURCE_MISMATCH', 'the file was changed while it was read');
      const source = overlay(bytesSource(bytes), { unchanged: () => Promise.reject(changed) });
      expect((await refused({}, source)).error).toBe(changed);
    });

    it('where a source is too short or too long', async () => {
      for (const byteLength of [bytes.length - 1, bytes.length + 1]) {
        const source = overlay(bytesSource(pattern(byteLength)), { byteLength: bytes.length });
        expect((await refused({}, source)).error).toMatchObject({ code: 'SOURCE_MISMATCH' });
      }
    });
  });
});
