import type { Device, DeviceBinding, OpenOptions, WebGpuBinding } from '../../../src/device/types.js';
import { BLOCK_BYTES } from '../../../src/digest/types.js';
import { equal, fail, ok, refused, refusedNow, sameBytes } from '../assert.js';
import type { ContractCase, ContractContext } from '../context.js';
import { differing, hostTree, rootOf } from '../host-tree.js';
import { dataOf, SMALL_WINDOW, using } from '../regions.js';

/**
 * Blocks of each buffer: more single blocks than one submission has dispatches, then buffers that begin and end inside
 * groups of 128 blocks and inside windows, more than one block at each of the six places of a dispatch; the last block is a
 * part of one.
 */
const RUNS = [...Array.from({ length: 70 }, () => 1), 3, 127, 2, 2, 2, 2, 2, 2, 1];
const CUTS = RUNS.map((_, index) => BLOCK_BYTES * RUNS.slice(0, index).reduce((sum, run) => sum + run, 0));
const LENGTH = BLOCK_BYTES * (RUNS.reduce((sum, run) => sum + run, 0) - 1) + 1001;

const BAD_CUTS: readonly (readonly [string, readonly number[]])[] = [
  ['none', []],
  ['a first that is not 0', [4096]],
  ['an offset inside a block', [0, 4097]],
  ['an offset inside a word', [0, 4096.5]],
  ['a cut twice', [0, 4096, 4096]],
  ['a cut that goes back', [0, 8192, 4096]],
  ['a cut below zero', [0, -4096]],
  ['a cut at the end', [0, 3 * BLOCK_BYTES]],
  ['a cut behind the end', [0, 2 ** 40]],
  ['a cut that is not a number', [0, Number.NaN]],
  ['a cut beyond all integers', [0, 2 ** 53]],
];

async function cutAndSealed(device: Device, bytes: Uint8Array, cuts: readonly number[] = CUTS) {
  const region = await device.allocate(bytes.length, { cuts });
  // Chunks that begin and end in the middle of buffers.
  for (let at = 0; at < bytes.length; at += 300_007) await region.write(at, bytes.subarray(at, at + 300_007));
  await region.freeze();
  return region;
}

export const cutCases: readonly ContractCase[] = [
  ...[{}, { windowBytes: SMALL_WINDOW }].map((options: OpenOptions) => ({
    name: `[MS-006] cuts change neither the bytes nor the tree, with ${named(options)}`,
    run: async (context: ContractContext) => {
      const bytes = dataOf(121, LENGTH);
      const tree = await hostTree(context.oracle, bytes);
      const device = await context.shared(options);
      await using(await cutAndSealed(device, bytes), async (region) => {
        equal(region.allocatedBytes, device.allocationBytes(LENGTH), 'allocated bytes');
        const { root, blocks } = await region.root();
        sameBytes(root, rootOf(tree), 'root');
        equal(blocks, Math.ceil(LENGTH / BLOCK_BYTES), 'blocks');
        for (const [level, nodes] of tree.entries()) {
          sameBytes(await region.nodes(level, 0, nodes.length / 32), nodes, `level ${level}`);
        }
        sameBytes(await region.nodes(0, 69, 5), tree[0]?.subarray(69 * 32, 74 * 32) ?? bytes, 'some leaves');
        sameBytes(await region.read(0, LENGTH), bytes, 'bytes');
        sameBytes(await region.read(4095, 8194), bytes.subarray(4095, 4095 + 8194), 'bytes of three buffers');
      });
    },
  })),
  {
    name: '[MS-003] cuts that are not ascending multiples of 4096 from 0 are refused before anything is allocated',
    run: async (context) => {
      const device = await context.shared();
      for (const [what, cuts] of BAD_CUTS) {
        await refused('INVALID_INPUT', () => device.allocate(3 * BLOCK_BYTES, { cuts }), what);
      }
      equal(device.stats().liveRegions, 0, 'live regions');
    },
  },
  {
    name: '[MS-003] more or larger buffers than a device has are refused; where cuts make none, any number is taken',
    run: async (context) => {
      const device = await context.shared();
      const { cutLimits } = device;
      const every = (count: number): number[] =>
        Array.from({ length: count }, (_, index) => index * BLOCK_BYTES);
      if (cutLimits === null) {
        await using(await device.allocate(900 * BLOCK_BYTES, { cuts: every(900) }), async (region) => {
          equal(region.allocatedBytes, device.allocationBytes(900 * BLOCK_BYTES), 'allocated bytes');
        });
        return;
      }
      const { maxBuffers, maxRunBytes } = cutLimits;
      equal(maxRunBytes % BLOCK_BYTES, 0, 'odd bytes of the largest run');
      const tooMany = every(maxBuffers + 1);
      await refused(
        'INVALID_INPUT',
        () => device.allocate(tooMany.length * BLOCK_BYTES, { cuts: tooMany }),
        'too many buffers',
      );
      const tooLong = { cuts: [0, BLOCK_BYTES] };
      await refused(
        'INVALID_INPUT',
        () => device.allocate(maxRunBytes + 2 * BLOCK_BYTES, tooLong),
        'a buffer that is too large',
      );
      equal(device.stats().liveRegions, 0, 'live regions');
    },
  },
  {
    name: '[MS-009] patches and flips on both sides of a cut change their block alone',
    run: async (context) => {
      const bytes = dataOf(122, LENGTH);
      const tree = await hostTree(context.oracle, bytes);
      const leaves = tree[0] ?? bytes;
      const device = await context.shared({ drills: true });
      await using(await cutAndSealed(device, bytes), async (region) => {
        for (const cut of [CUTS[1], CUTS[70]]) {
          if (cut === undefined) return fail('the list of cuts is too short');
          for (const byte of [cut - 1, cut]) {
            const block = Math.floor(byte / BLOCK_BYTES);
            await region.faults?.flip(byte, 0x81);
            const found = differing(await region.nodes(0, 0, leaves.length / 32), leaves);
            equal(found.join(), String(block), `damaged blocks after a flip of byte ${byte}`);
            await region.patch(block, bytes.slice(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES));
            sameBytes((await region.root()).root, rootOf(tree), `root after healing block ${block}`);
          }
        }
        sameBytes(await region.read(0, LENGTH), bytes, 'bytes');
      });
    },
  },
  {
    name: 'cuts are read once: what the caller does to its array later changes nothing',
    run: async (context) => {
      const device = await context.shared();
      const bytes = dataOf(123, 3 * BLOCK_BYTES);
      const cuts = [0, BLOCK_BYTES];
      const allocating = device.allocate(bytes.length, { cuts });
      cuts.fill(7);
      await using(await allocating, async (region) => {
        await region.write(0, bytes);
        sameBytes(await region.read(0, bytes.length), bytes, 'bytes');
      });
    },
  },
  {
    name: '[MS-009] a WebGPU lease gives the buffer at each cut, whole, with STORAGE usage alone, until it ends',
    run: async (context) => {
      const device = await context.shared();
      if (device.cutLimits === null) {
        return context.skip(`${context.target.name} has no buffers that cuts could make`);
      }
      const bytes = dataOf(124, 5 * BLOCK_BYTES - 100);
      const cuts = [0, BLOCK_BYTES, 4 * BLOCK_BYTES];
      await using(await cutAndSealed(device, bytes, cuts), async (region) => {
        equal(await region.freeze(), 'api-only', 'immutability of buffers that are handed out');
        const lease = webGpu(region.view(0, bytes.length));
        const buffers = cuts.map((_, index) => lease.bufferAt(index));
        equal(new Set(buffers).size, cuts.length, 'different buffers');
        equal(buffers.map(({ size }) => size).join(), [4096, 3 * 4096, 4096].join(), 'their sizes');
        equal(buffers.map(({ usage }) => usage).join(), '128,128,128', 'their usages');
        for (const index of [-1, 3, 0.5, Number.NaN]) {
          refusedNow('INVALID_INPUT', () => lease.bufferAt(index), `bufferAt(${index})`);
        }
        await lease.end();
        refusedNow('NOT_FOUND', () => lease.bufferAt(0), 'bufferAt after the end');

        const part = webGpu(region.view(BLOCK_BYTES, 3 * BLOCK_BYTES));
        ok(part.bufferAt(1) === buffers[1], 'a partial lease gives the one buffer that it holds');
        for (const index of [0, 2])
          refusedNow('INVALID_INPUT', () => part.bufferAt(index), `buffer ${index} of a part`);
        await part.end();
      });
      await using(await device.allocate(4096), async (region) => {
        await region.freeze();
        const lease = webGpu(region.view(0, 4096));
        refusedNow('INVALID_INPUT', () => lease.bufferAt(0), 'bufferAt without cuts');
        await lease.end();
      });
    },
  },
];

function named({ windowBytes }: OpenOptions): string {
  return windowBytes === undefined ? 'the default window' : `a window of ${windowBytes / 1024} KiB`;
}

function webGpu(binding: DeviceBinding): WebGpuBinding {
  return binding.kind === 'webgpu' ? binding : fail(`a ${binding.kind} lease on a device with cutLimits`);
}
