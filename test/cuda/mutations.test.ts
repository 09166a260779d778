import { expect, it } from 'vitest';
import { type Addon, cudaBackend } from '../../src/device/cuda/index.js';
import type { Backend } from '../../src/device/types.js';
import { ptx } from '../../src/generated/ptx.js';
import { nodeCudaBackend } from '../../src/node/devices/cuda/backend.js';
import { hostTree, rootOf } from '../contract/host-tree.js';
import { nodeOracle } from '../support/oracle.js';
import { xorshiftBytes } from '../support/xorshift.js';
import { describeCuda, newestAllocation, sealed, withDevice } from './testbed.js';

const shipped = ptx['vram'] ?? '';

/**
 * The n-th occurrence, counted from 0, of some text in the PTX, replaced; a text that is not there is an error of this test.
 */
function changed(from: string | RegExp, to: string, occurrence = 0): string {
  const pattern = typeof from === 'string' ? from.replace(/[.*+?^${}()|[\]\\%]/g, '\\$&') : from.source;
  const match = [...shipped.matchAll(new RegExp(pattern, 'g'))][occurrence];
  if (match === undefined) throw new Error(`the PTX has no occurrence ${occurrence} of ${pattern}`);
  const before = shipped.slice(0, match.index);
  return before + match[0].replace(new RegExp(pattern), to) + shipped.slice(match.index + match[0].length);
}

/** The constant of the first round (FIPS 180-4, section 4.2.2), as nvcc writes it. */
const K0 = String(0x428a2f98);
const GUARD = /setp\.gt\.u64( \t?|\t)(%p\d+), (%rd\d+), (%rd\d+);/;
const CHOICE = /setp\.lt\.u64( \t?|\t)(%p\d+), (%rd\d+), (%rd\d+);/;

const PROGRAMS: readonly { readonly broken: string; readonly ptx: () => string; readonly red: RegExp }[] = [
  {
    broken: 'a wrong round constant in vr_leaves',
    ptx: () => changed(K0, String(0x428a2f99), 0),
    red: /known-answer test/,
  },
  {
    broken: 'a wrong round constant in vr_nodes',
    ptx: () => changed(K0, String(0x428a2f99), 1),
    red: /known-answer test/,
  },
  {
    broken: 'vr_leaves hashes one block too few',
    ptx: () => changed(GUARD, 'setp.ge.u64$1$2, $3, $4;', 0),
    red: /canary/,
  },
  {
    broken: 'vr_leaves takes one block too many for data',
    ptx: () => changed(CHOICE, 'setp.le.u64$1$2, $3, $4;', 0),
    red: /2 of 1 blocks|canary|LOST|lost/,
  },
  {
    broken: 'vr_nodes hashes one node too few',
    ptx: () => changed(GUARD, 'setp.ge.u64$1$2, $3, $4;', 1),
    red: /canary/,
  },
  {
    broken: 'the block counter adds 2',
    ptx: () => changed(/(atom|red)\.global\.add\.u64([^;]*), 1;/, '$1.global.add.u64$2, 2;', 0),
    red: /2 of 1 blocks were hashed/,
  },
];

describeCuda('cuda: mutations, each of them caught', (bed) => {
  const { emulator } = bed;

  function mutated(change: (addon: Addon) => Partial<Addon>): Backend {
    emulator.reset();
    return cudaBackend({
      addon: async () => ({ ...bed.addon, ...change(bed.addon) }),
      libraryPath: bed.libraryPath,
      pageable: () => false,
      driverDoubt: async () => null,
      kernels: async () => ({ image: shipped, origin: null, replaced: false }),
    });
  }

  it('the kernels as they ship are not refused', async () => {
    await withDevice(bed, async (device) => expect(device.info.index).toBe(0));
  });

  for (const { broken, ptx: program, red } of PROGRAMS) {
    it(`[CI-011] ${broken}: the device is not opened`, async () => {
      emulator.reset();
      const refused = nodeCudaBackend({
        libraryPath: bed.libraryPath,
        addonPaths: [bed.addonPath],
        ptx: program(),
      }).open(0);
      await expect(refused).rejects.toMatchObject({
        code: 'DEVICE_UNAVAILABLE',
        message: expect.stringMatching(red),
      });
      expect(emulator.liveAllocations().total).toBe(0);
    });
  }

  it('one changed byte of the shipped PTX that is still PTX: another root, or none', async () => {
    // A shift of the schedule (FIPS 180-4, section 4.1.2) by 4 instead of 3, at the front, in the middle and at the end.
    for (const occurrence of [0, 47, 95]) {
      emulator.reset();
      const other = changed(/shr\.u32([^;]*), 3;/, 'shr.u32$1, 4;', occurrence);
      expect(other).toHaveLength(shipped.length);
      await expect(bed.backend({ ptx: other }).open(0)).rejects.toMatchObject({ code: 'DEVICE_UNAVAILABLE' });
    }
  });

  const waits: readonly { readonly missing: string; readonly change: (addon: Addon) => Partial<Addon> }[] = [
    { missing: 'freeze does not wait for the copies', change: () => ({ drain: async () => undefined }) },
    {
      missing: 'allocation does not wait for its zeros',
      change: () => ({ synchronize: async () => undefined }),
    },
  ];
  for (const { missing, change } of waits) {
    it(`a missing wait, ${missing}: the device is not opened`, async () => {
      await expect(mutated(change).open(0)).rejects.toMatchObject({ code: 'DEVICE_UNAVAILABLE' });
    });
  }

  const runs: readonly {
    readonly broken: string;
    readonly change: (addon: Addon) => Partial<Addon>;
    readonly red: RegExp;
  }[] = [
    {
      broken: 'vr_leaves is never launched',
      change: (addon) => ({
        launch: (module, entry, ...rest) =>
          entry === 'vr_leaves' ? Promise.resolve() : addon.launch(module, entry, ...rest),
      }),
      red: /0 of 1 blocks were hashed/,
    },
    {
      broken: 'vr_nodes is never launched',
      change: (addon) => ({
        launch: (module, entry, ...rest) =>
          entry === 'vr_nodes' ? Promise.resolve() : addon.launch(module, entry, ...rest),
      }),
      red: /0 of 1 nodes were hashed/,
    },
    {
      broken: 'the canary’s hash is not carried on',
      change: (addon) => ({
        copy: (to, toOffset, from, fromOffset, length) =>
          toOffset === 48 ? Promise.resolve() : addon.copy(to, toOffset, from, fromOffset, length),
      }),
      red: /canary block was not hashed/,
    },
    {
      broken: 'the root is not copied to where it is read',
      change: (addon) => ({
        copy: (to, toOffset, from, fromOffset, length) =>
          toOffset === 0 ? Promise.resolve() : addon.copy(to, toOffset, from, fromOffset, length),
      }),
      red: /result was not written/,
    },
  ];
  for (const { broken, change, red } of runs) {
    it(`[CI-010] ${broken}: nothing is verified`, async () => {
      await expect(mutated(change).open(0)).rejects.toMatchObject({
        code: 'DEVICE_UNAVAILABLE',
        message: expect.stringMatching(red),
      });
    });
  }

  it('[CI-010] the answer of an earlier run, given again, is refused', async () => {
    let replay: Uint8Array | null = null;
    let armed = false;
    const device = await mutated((addon) => ({
      read: async (memory, offset, length) => {
        const fresh = await addon.read(memory, offset, length);
        if (!armed) return fresh;
        replay ??= fresh;
        return replay;
      },
    })).open(0);
    const region = await sealed(device, xorshiftBytes(71, 5000));
    armed = true;
    const { root } = await region.root();
    await expect(region.root()).rejects.toMatchObject({
      code: 'DEVICE_UNAVAILABLE',
      message: expect.stringContaining('canary'),
    });
    expect(root).toEqual(rootOf(await hostTree(nodeOracle, xorshiftBytes(71, 5000))));
    await device.close();
  });

  it('[MS-008] a release that does not wipe is seen', async () => {
    emulator.reset();
    const driver = await bed.addon.load(bed.libraryPath);
    const device = await bed.addon.open(driver, 0, 4096);
    const memory = await bed.addon.allocate(device, 4096, true);
    await bed.addon.write(memory, 0, xorshiftBytes(72, 4096));
    await bed.addon.drain(memory);
    // The wipe fails without effect: what goes back is not zeros, and release says so.
    emulator.failCall('cuMemsetD8Async', 1, 1);
    await expect(bed.addon.release(memory)).rejects.toMatchObject({ call: 'cuMemsetD8Async' });
    expect(emulator.freedUnwiped()).toBe(1);
    await bed.addon.close(device);
  });

  it('a copy that writes one byte too many is stopped by the addon, and by the guard pages behind it', async () => {
    await withDevice(bed, async (device) => {
      await sealed(device, xorshiftBytes(73, 4096));
      const bytes = emulator.allocations()[newestAllocation(bed)]?.bytes ?? 0;
      expect(() => emulator.peek(newestAllocation(bed), bytes, 1)).toThrowError();
    });
  });
});
