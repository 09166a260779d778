import { expect, it } from 'vitest';
import { type Addon, cudaBackend } from '../../src/device/cuda/index.js';
import type { Device, Region } from '../../src/device/types.js';
import { ptx } from '../../src/generated/ptx.js';
import { hostTree, rootOf } from '../contract/host-tree.js';
import { nodeOracle } from '../support/oracle.js';
import { xorshiftBytes } from '../support/xorshift.js';
import { describeCuda, sealed, withDevice } from './testbed.js';

const BLOCK = 4096;
/** Bytes that prove a run: two counters and the canary's hash. */
const PROOF = 48;
/** What waits for the device, or brings bytes back from it. */
const WAITS = ['cuStreamSynchronize', 'cuMemcpyDtoHAsync_v2', 'cuMemcpyHtoDAsync_v2'] as const;

interface Known {
  readonly region: Region;
  readonly root: Uint8Array;
}

async function regionsOf(device: Device, blocks: readonly number[]): Promise<readonly Known[]> {
  const known: Known[] = [];
  for (const [index, count] of blocks.entries()) {
    const bytes = xorshiftBytes(81 + index, count * BLOCK - 5);
    known.push({ region: await sealed(device, bytes), root: rootOf(await hostTree(nodeOracle, bytes)) });
  }
  return known;
}

async function expectRoots(known: readonly Known[]): Promise<void> {
  const roots = await Promise.all(known.map(({ region }) => region.root()));
  expect(roots.map(({ root }) => root)).toEqual(known.map(({ root }) => root));
}

describeCuda('cuda: small regions hashed together', (bed) => {
  const { accounts, emulator } = bed;

  /** Driver calls that `work` makes. */
  async function waitsOf(work: () => Promise<unknown>): Promise<readonly number[]> {
    const before = accounts?.calls() ?? {};
    await work();
    const after = accounts?.calls() ?? {};
    return WAITS.map((name) => (after[name] ?? 0) - (before[name] ?? 0));
  }

  function mutated(change: (addon: Addon) => Partial<Addon>): Promise<Device> {
    emulator.reset();
    return cudaBackend({
      addon: async () => ({ ...bed.addon, ...change(bed.addon) }),
      libraryPath: bed.libraryPath,
      pageable: () => false,
      driverDoubt: async () => null,
      kernels: async () => ({ image: ptx['vram'] ?? '', origin: null, replaced: false }),
    }).open(0);
  }

  it('wait for the device and bring bytes back as often as a single one', async () => {
    await withDevice(bed, async (device) => {
      const known = await regionsOf(device, [1, 2, 1, 5, 9, 1, 3, 7, 2, 1, 4, 6]);
      const [first] = known;
      const alone = await waitsOf(() => expectRoots(first === undefined ? [] : [first]));
      const before = device.stats().readbackBytes;
      const together = await waitsOf(() => expectRoots(known));
      expect(together).toEqual(alone);
      expect(device.stats().readbackBytes - before).toBe(known.length * 32 + PROOF);
      // One by one, each waits for itself.
      const inTurn = await waitsOf(async () => {
        for (const each of known) await expectRoots([each]);
      });
      expect(inTurn).toEqual(alone.map((count) => count * known.length));
    });
  });

  it('groups of a large region and roots of small ones come in one run too', async () => {
    await withDevice(bed, async (device) => {
      const bytes = xorshiftBytes(95, 129 * BLOCK);
      const large = await sealed(device, bytes);
      const [, groups] = await hostTree(nodeOracle, bytes);
      const known = await regionsOf(device, [2, 1]);
      const alone = await waitsOf(() => large.nodes(1, 1, 1));
      const together = await waitsOf(async () => {
        const [group] = await Promise.all([large.nodes(1, 1, 1), expectRoots(known)]);
        expect(group).toEqual(groups?.slice(32));
      });
      expect(together).toEqual(alone);
    });
  });

  it('are no more at a time than scratch has room for', async () => {
    const work = async (device: Device) => {
      const known = await regionsOf(device, [1, 2, 3, 1, 2]);
      const alone = await waitsOf(() => expectRoots(known.slice(0, 1)));
      // Two places of 128 leaves each: five roots are three runs.
      expect(await waitsOf(() => expectRoots(known))).toEqual(alone.map((count) => 3 * count));
    };
    await withDevice(bed, work, {}, { windowBytes: 256 * BLOCK });
  });

  it('a launch that fails is told to each of them, and the next run is sound', async () => {
    await withDevice(bed, async (device) => {
      const known = await regionsOf(device, [2, 1, 3]);
      emulator.failCall('cuLaunchKernel', 4, 1);
      for (const outcome of await Promise.allSettled(known.map(({ region }) => region.root()))) {
        expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'DEVICE_UNAVAILABLE' } });
      }
      await expectRoots(known);
    });
  });

  interface Fault {
    readonly broken: string;
    /** Once armed, whether the call is left out. */
    readonly drops: (call: 'launch' | 'copy', detail: string | number) => boolean;
    readonly red: RegExp;
  }
  const faults: readonly Fault[] = [
    {
      broken: 'no leaves are hashed',
      drops: (_, what) => what === 'vr_leaves',
      red: /0 of 6 blocks were hashed/,
    },
    {
      broken: 'no nodes are hashed',
      drops: (_, what) => what === 'vr_nodes',
      red: /0 of 2 nodes were hashed/,
    },
    {
      broken: 'the canary is not carried on',
      drops: (_, to) => to === 48,
      red: /canary block was not hashed/,
    },
    {
      broken: 'scratch is not filled before, and nothing is hashed',
      drops: (call) => call === 'launch',
      red: /0 of 6 blocks were hashed/,
    },
    {
      broken: 'what proves the run is not copied to where it is read',
      drops: (call, to) => call === 'copy' && to !== 48,
      red: /of 6 blocks were hashed/,
    },
  ];
  for (const { broken, drops, red } of faults) {
    it(`[CI-010] ${broken}: none of them is verified`, async () => {
      let armed = false;
      const device = await mutated((addon) => ({
        launch: (module, entry, ...rest) =>
          armed && drops('launch', entry) ? Promise.resolve() : addon.launch(module, entry, ...rest),
        copy: (to, toOffset, ...rest) =>
          armed && drops('copy', toOffset) ? Promise.resolve() : addon.copy(to, toOffset, ...rest),
      }));
      try {
        const known = await regionsOf(device, [2, 1, 3]);
        await expectRoots(known);
        armed = true;
        for (const outcome of await Promise.allSettled(known.map(({ region }) => region.root()))) {
          expect(outcome).toMatchObject({
            status: 'rejected',
            reason: { code: 'DEVICE_UNAVAILABLE', message: expect.stringMatching(red) },
          });
        }
        armed = false;
        await expectRoots(known);
      } finally {
        await device.close();
      }
    });
  }

  it('[CI-010] the answer of an earlier run, given again, is refused', async () => {
    let replay: Uint8Array | null = null;
    let armed = false;
    const device = await mutated((addon) => ({
      read: async (...args) => {
        const fresh = await addon.read(...args);
        if (armed) replay ??= fresh;
        return replay ?? fresh;
      },
    }));
    try {
      const known = await regionsOf(device, [2, 1, 3]);
      armed = true;
      await expectRoots(known);
      for (const outcome of await Promise.allSettled(known.map(({ region }) => region.root()))) {
        expect(outcome).toMatchObject({ reason: { message: expect.stringContaining('canary') } });
      }
    } finally {
      await device.close();
    }
  });

  it('an aborted one among them ends alone', async () => {
    await withDevice(bed, async (device) => {
      const known = await regionsOf(device, [2, 1, 3]);
      const [first, ...others] = known;
      const aborted = first?.region.root({ signal: AbortSignal.abort() });
      await Promise.all([expect(aborted).rejects.toMatchObject({ code: 'ABORTED' }), expectRoots(others)]);
    });
  });
});
