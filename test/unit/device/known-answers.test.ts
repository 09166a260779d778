import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { VramError } from '../../../src/base/errors.js';
import { hostBackend } from '../../../src/device/host/index.js';
import {
  type FillProbe,
  type KnownFill,
  proveCutRegion,
  proveKnownAnswers,
  xorshiftBytes,
} from '../../../src/device/known-answers.js';
import type { Device, Region } from '../../../src/device/types.js';
import { fsverityDigest } from '../../../src/digest/index.js';
import { overlay } from '../../contract/broken.js';
import { nodeOracle } from '../../support/oracle.js';
import { xorshiftBytes as oracleBytes } from '../../support/xorshift.js';

interface Vectors {
  readonly cases: readonly { readonly size: number; readonly seed: number; readonly fsverity: string }[];
}

function withRegions(device: Device, replace: (region: Region) => Partial<Region>): Device {
  return overlay(device, {
    allocate: async (byteLength, options) => {
      const region = await device.allocate(byteLength, options);
      return overlay(region, replace(region));
    },
  });
}

describe('[CI-011] known answers', () => {
  it('makes the data of the vectors', () => {
    for (const size of [1, 3, 4, 4097]) expect(xorshiftBytes(1006, size)).toEqual(oracleBytes(1006, size));
  });

  it('its roots lead to the digests that the fsverity program printed', async () => {
    const vectors: Vectors = JSON.parse(readFileSync('test/vectors/fsverity.json', 'utf8'));
    const asked: { readonly bytes: Uint8Array; readonly root: Uint8Array }[] = [];
    const device = await hostBackend().open(0);
    // Sound only if root is right, and right only if the descriptor over it is what the program printed.
    const watched = withRegions(device, (region) => {
      let bytes = new Uint8Array();
      return {
        write: async (offset, chunk) => {
          bytes = chunk.slice();
          await region.write(offset, chunk);
        },
        root: async () => {
          const answer = await region.root();
          asked.push({ bytes, root: answer.root });
          return answer;
        },
      };
    });
    await proveKnownAnswers(watched, null);
    await device.close();
    const known = asked.slice(0, -1);
    expect(known.map(({ bytes }) => bytes.length)).toEqual([1, 4096, 4097, 12289, 524289]);
    for (const { bytes, root } of known) {
      const vector = vectors.cases.find(({ size }) => size === bytes.length);
      const descriptor = new Uint8Array(256);
      descriptor.set([1, 1, 12, 0]);
      new DataView(descriptor.buffer).setBigUint64(8, BigInt(bytes.length), true);
      descriptor.set(root, 16);
      expect(createHash('sha256').update(descriptor).digest('hex')).toBe(vector?.fsverity);
      expect(await fsverityDigest(bytes.length, root, nodeOracle.sha256)).toContain(vector?.fsverity);
    }
  });

  it('are asked of a region with cuts too, and a wrong one refuses cuts', async () => {
    const device = await hostBackend().open(0);
    const cuts: unknown[] = [];
    const watched = overlay(device, {
      allocate: async (byteLength, options) => {
        cuts.push(options?.cuts?.length);
        return await device.allocate(byteLength, options);
      },
    });
    await proveCutRegion(watched);
    expect(cuts).toEqual([8]);
    const wrong = withRegions(device, () => ({
      root: async () => ({ root: new Uint8Array(32), blocks: 129 }),
    }));
    await expect(proveCutRegion(wrong)).rejects.toMatchObject({
      code: 'DEVICE_UNAVAILABLE',
      message: expect.stringContaining('524289 bytes in 8 buffers is wrong'),
    });
    expect(device.stats().liveRegions).toBe(0);
    await device.close();
  });

  it('refuses a device whose roots are wrong, and names the size', async () => {
    const device = await hostBackend().open(0);
    const wrong = withRegions(device, (region) => ({
      root: async () => {
        const { root, blocks } = await region.root();
        if (blocks === 129) root[31] = (root[31] ?? 0) ^ 1;
        return { root, blocks };
      },
    }));
    await expect(proveKnownAnswers(wrong, null)).rejects.toMatchObject({
      code: 'DEVICE_UNAVAILABLE',
      message: expect.stringContaining('524289 bytes'),
    });
    expect(device.stats().liveRegions).toBe(0);
    await device.close();
  });

  it('refuses a device that does not look at its input', async () => {
    const device = await hostBackend().open(0);
    const roots = new Map<number, Uint8Array>();
    const learned = withRegions(device, (region) => ({
      root: async () => {
        const answer = await region.root();
        const root = roots.get(region.byteLength) ?? answer.root;
        roots.set(region.byteLength, root);
        return { ...answer, root };
      },
    }));
    await expect(proveKnownAnswers(learned, null)).rejects.toMatchObject({
      code: 'DEVICE_UNAVAILABLE',
      message: expect.stringContaining('changed bit'),
    });
    expect(device.stats().liveRegions).toBe(0);
    await device.close();
  });

  describe('of a kernel that fills', () => {
    const fill = ({ vectors, ground, first, count, word }: KnownFill): Uint8Array => {
      const words = new Uint32Array(vectors * 4).fill(ground);
      words.fill(word, first * 4, (first + count) * 4);
      return new Uint8Array(words.buffer);
    };
    const proved = async (probe: FillProbe): Promise<void> => {
      const device = await hostBackend().open(0);
      try {
        await proveKnownAnswers(device, probe);
      } finally {
        expect(device.stats().liveRegions).toBe(0);
        await device.close();
      }
    };

    it('accepts one that fills exactly what it is told', async () => {
      await proved(async (asked) => fill(asked));
    });

    it.each<[string, (asked: KnownFill) => KnownFill]>([
      ['a vector too many', (asked) => ({ ...asked, count: asked.count + 1 })],
      ['a vector too few', (asked) => ({ ...asked, count: asked.count - 1 })],
      ['a place too early', (asked) => ({ ...asked, first: asked.first - 1 })],
      ['another word', (asked) => ({ ...asked, word: asked.word ^ 1 })],
      ['nothing at all', (asked) => ({ ...asked, ground: 0, count: 0 })],
      ['the ground not at all', (asked) => ({ ...asked, ground: 0 })],
    ])('refuses one that fills %s', async (_, wrong) => {
      await expect(proved(async (asked) => fill(wrong(asked)))).rejects.toMatchObject({
        code: 'DEVICE_UNAVAILABLE',
        message:
          'host failed its known-answer test: a fill did not fill exactly the 205 requested vectors; it must ' +
          'not be used',
      });
    });

    it('refuses one that fails', async () => {
      const failure = new VramError('DEVICE_LOST', 'unplugged');
      await expect(proved(() => Promise.reject(failure))).rejects.toMatchObject({
        code: 'DEVICE_UNAVAILABLE',
        message: 'host could not run its known-answer test with a fill: unplugged',
        cause: failure,
      });
    });
  });

  for (const step of ['allocate', 'write', 'freeze', 'root', 'release'] as const) {
    it(`gives back what it took when ${step} fails`, async () => {
      const device = await hostBackend().open(0);
      let releases = 0;
      const failure = new VramError('DEVICE_LOST', 'unplugged');
      const fails = () => Promise.reject(failure);
      const failing =
        step === 'allocate'
          ? overlay(device, { allocate: fails })
          : withRegions(device, (region) => ({
              release: async () => {
                releases++;
                await region.release();
                if (step === 'release') throw failure;
              },
              ...(step === 'release' ? {} : { [step]: fails }),
            }));
      await expect(proveKnownAnswers(failing, null)).rejects.toMatchObject({
        code: 'DEVICE_UNAVAILABLE',
        cause: failure,
      });
      expect(releases).toBe(step === 'allocate' ? 0 : 1);
      expect(device.stats().liveRegions).toBe(0);
      await device.close();
    });
  }
});
