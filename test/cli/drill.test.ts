import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hostBackend } from '../../src/device/host/index.js';
import type { Backend, FaultPort, Region } from '../../src/device/types.js';
import { overlay } from '../contract/broken.js';
import { cli } from '../support/cli.js';
import { testCudaBackend } from '../support/cuda.js';
import { prepareVulkan, testWebGpuBackend } from '../support/vulkan.js';
import { xorshiftBytes } from '../support/xorshift.js';

const MODEL = fileURLToPath(
  new URL('../../node_modules/@ricky0123/vad-web/dist/silero_vad_v5.onnx', import.meta.url),
);
const BYTES = 100_000;

let folder: string;
let weights: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vram-drill-'));
  weights = join(folder, 'weights.bin');
  await writeFile(weights, xorshiftBytes(11, BYTES));
});

afterAll(() => rm(folder, { recursive: true }));

/** The host backend with its regions changed. */
function changed(change: (region: Region) => Partial<Region>): Backend {
  const host = hostBackend();
  return overlay(host, {
    open: async (index: number, options?: Parameters<Backend['open']>[1]) => {
      const device = await host.open(index, options);
      return overlay(device, {
        allocate: async (byteLength: number) => {
          const region = await device.allocate(byteLength);
          return overlay(region, change(region));
        },
      });
    },
  });
}

const { adapter } = await prepareVulkan();
const webgpu = await testWebGpuBackend();
const cuda = await testCudaBackend();

describe('drill', () => {
  it('shows flips, detection, localisation, healing and re-verification', async () => {
    const { code, stdout, stderr } = await cli(['drill', weights, '--flips', '5', '--seed', '3']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain('HOST MEMORY, NOT VRAM');
    const order = [
      'sealed ',
      'verified ',
      'flipped   5 bits',
      'detected ',
      'located ',
      'healed ',
      'as sealed again',
      'released ',
    ];
    expect(order.map((text) => stdout.indexOf(text))).toEqual(
      order.map((text) => stdout.indexOf(text)).sort((a, b) => a - b),
    );
    expect(stdout.indexOf('sealed ')).toBeGreaterThan(0);
    // The file itself is not touched.
    expect(new Uint8Array(await readFile(weights))).toEqual(xorshiftBytes(11, BYTES));
  });

  const runs: readonly (readonly [string, Backend | null, string])[] = [
    ['host', hostBackend(), 'leaves'],
    ['host', hostBackend(), 'groups'],
    ['webgpu', webgpu, 'leaves'],
    ['webgpu', webgpu, 'groups'],
    ['cuda (emulated driver)', cuda, 'leaves'],
  ];
  for (const [name, backend, keep] of runs) {
    it.skipIf(backend === null)(
      `[CI-008] on ${name}, keeping ${keep}, every flipped block is named and healed, none ` +
        `else${backend === null ? ' (SKIPPED: not on this machine)' : ''}`,
      async () => {
        if (backend === null) return;
        const device = backend.kind === 'host' ? 'host' : `${backend.kind}:0`;
        // The whole model where it is quickly hashed.
        const quick = backend.kind === 'host' || (backend.kind === 'webgpu' && adapter !== 'swiftshader');
        const file = quick ? MODEL : weights;
        const { code, stdout, stderr } = await cli(
          [
            'drill',
            file,
            '--flips',
            '64',
            '--seed',
            '20261122',
            '--keep',
            keep,
            '--json',
            '--device',
            device,
          ],
          { backends: [backend] },
        );
        expect(stderr).toContain('as sealed again');
        expect(code).toBe(0);
        const document = JSON.parse(stdout);
        expect(document).toMatchObject({
          v: 1,
          ok: true,
          device: { id: device },
          seed: 20_261_122,
          detected: true,
          healed: true,
          reverified: true,
          shards: [{ file, verified: true, backend: backend.kind }],
        });
        expect(document.flips).toHaveLength(64);
        const blocks = [
          ...new Set<number>(document.flips.map(({ byte }: { byte: number }) => Math.floor(byte / 4096))),
        ].sort((x, y) => x - y);
        expect(document.damagedBlocks).toEqual(blocks);
        expect(document.healedBlocks).toEqual(blocks);
      },
    );
  }

  it('repeats a drill by its seed, whatever the device', async () => {
    const flips = async (...args: string[]) =>
      JSON.parse((await cli(['drill', weights, '--json', '--flips', '4', ...args])).stdout).flips;
    const first = await flips('--seed', '8');
    expect(await flips('--seed', '8')).toEqual(first);
    expect(await flips('--seed', '9')).not.toEqual(first);
  });

  it('strikes patterns and the padding', async () => {
    const { code, stdout } = await cli([
      ...['drill', weights, '--json', '--flips', '4', '--seed', '1'],
      ...['--pattern', 'word', 'pair', 'neighbours', 'block'],
    ]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout).flips.length).toBeGreaterThan(32 + 2 + 2 + 4096 * 8 - 1);
    const padding = await cli(['drill', weights, '--json', '--flips', '3', '--area', 'padding']);
    expect(padding.code).toBe(0);
    const document = JSON.parse(padding.stdout);
    for (const { byte } of document.flips) expect(byte).toBeGreaterThanOrEqual(BYTES);
    expect(document.damagedBlocks).toEqual([Math.floor(BYTES / 4096)]);
  });

  it.each([
    [['--flips', '0'], /whole number from 1/],
    [['--flips', '1.5'], /whole number/],
    [['--seed', '-1'], /whole number/],
    [['--pattern', 'stripe'], /bit, neighbours, word, block, pair/],
    [['--area', 'moon'], /data, padding, both/],
    [['--keep', 'all'], /leaves, groups/],
  ])('2: %j', async (args, complaint) => {
    const { code, stderr } = await cli(['drill', weights, ...args]);
    expect(stderr).toMatch(complaint);
    expect(code).toBe(2);
  });

  it('2: more bits than the file has, and a file that is not there; the document is printed all the same', async () => {
    const tiny = join(folder, 'tiny');
    await writeFile(tiny, 'x');
    const many = await cli(['drill', tiny, '--flips', '9', '--json']);
    expect(many.code).toBe(2);
    expect(JSON.parse(many.stdout)).toMatchObject({
      ok: false,
      flips: [],
      detected: false,
      error: { code: 'INVALID_INPUT' },
    });
    const absent = await cli(['drill', join(folder, 'absent'), '--json']);
    expect(absent.code).toBe(2);
    expect(JSON.parse(absent.stdout)).toMatchObject({ ok: false, error: { code: 'INVALID_INPUT' } });
  });

  it('3: a policy that the device does not meet', async () => {
    expect((await cli(['drill', weights, '--policy', 'vram-only'])).code).toBe(3);
  });

  it('1: damage that is not found', async () => {
    const none: FaultPort = { flip: async () => undefined };
    const { code, stdout } = await cli(['drill', weights, '--json'], {
      backends: [changed(() => ({ faults: none }))],
    });
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ ok: false, detected: false, healed: false });
  });

  it('1: damage beside what was flipped', async () => {
    const { code, stdout } = await cli(['drill', weights, '--json', '--seed', '1'], {
      backends: [
        changed((region) => ({
          faults: {
            flip: async (byte, mask) => {
              await region.faults?.flip(byte, mask);
              await region.faults?.flip((byte + 8192) % BYTES, mask);
            },
          },
        })),
      ],
    });
    expect(code).toBe(1);
    const document = JSON.parse(stdout);
    expect(document).toMatchObject({ ok: false, detected: true, healed: false, reverified: false });
    expect(document.damagedBlocks).toHaveLength(2);
    // Not even tried.
    expect(document.healedBlocks).toEqual([]);
  });

  it('1: memory that cannot be healed', async () => {
    const { code, stdout } = await cli(['drill', weights, '--json', '--seed', '1'], {
      backends: [changed(() => ({ patch: async () => undefined }))],
    });
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ ok: false, detected: true, healed: false, reverified: false });
  });
});
