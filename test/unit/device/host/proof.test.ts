import { describe, expect, it } from 'vitest';
import { hostBackend } from '../../../../src/device/host/index.js';
import type { HostKernels } from '../../../../src/device/host/kernels.js';
import type { Device, OpenOptions, Region } from '../../../../src/device/types.js';
import { xorshiftBytes } from '../../../support/xorshift.js';

const BLOCK = 4096;
const BYTES = xorshiftBytes(77, 150 * BLOCK + 3);

/** A device whose kernels are sound while it opens and until `arm` is called. */
async function faulty(
  broken: (sound: HostKernels) => Partial<HostKernels>,
  options: OpenOptions = {},
): Promise<{ device: Device; arm(): void }> {
  let armed = false;
  const device = await hostBackend({
    inject: {
      kernels: (sound) => {
        const replaced = { ...sound, ...broken(sound) };
        return {
          leaves: (input, output) => (armed ? replaced : sound).leaves(input, output),
          nodes: (input, output) => (armed ? replaced : sound).nodes(input, output),
        };
      },
    },
  }).open(0, options);
  return {
    device,
    arm: () => {
      armed = true;
    },
  };
}

async function sealed(device: Device): Promise<Region> {
  const region = await device.allocate(BYTES.length);
  await region.write(0, BYTES);
  await region.freeze();
  return region;
}

/** The canary is the one input that lies in a buffer of a single block. */
function isCanary(input: Uint8Array): boolean {
  return input.buffer.byteLength === BLOCK;
}

const faults: readonly {
  readonly what: string;
  readonly broken: (sound: HostKernels) => Partial<HostKernels>;
  readonly found: RegExp;
}[] = [
  {
    what: 'a leaves dispatch that is skipped',
    broken: (sound) => ({
      leaves: async (input, output) => (isCanary(input) ? await sound.leaves(input, output) : 0),
    }),
    found: /were not written/,
  },
  {
    what: 'a nodes dispatch that is skipped',
    broken: () => ({ nodes: async () => 0 }),
    found: /0 of \d+ nodes of level 1/,
  },
  {
    what: 'a nodes dispatch that is skipped but counted',
    broken: () => ({ nodes: async (_input, output) => output.length / 32 }),
    found: /level 1 were not written/,
  },
  {
    what: 'a leaves dispatch that leaves out its last block but counts it',
    broken: (sound) => ({
      leaves: async (input, output) => {
        if (isCanary(input)) return await sound.leaves(input, output);
        const short = input.subarray(0, input.length - BLOCK);
        return 1 + (short.length === 0 ? 0 : await sound.leaves(short, output));
      },
    }),
    found: /were not written/,
  },
  {
    what: 'a leaves dispatch that writes all its hashes but counts one block too few',
    broken: (sound) => ({
      leaves: async (input, output) => (await sound.leaves(input, output)) - (isCanary(input) ? 0 : 1),
    }),
    found: /of 151 blocks were hashed/,
  },
  {
    what: 'a stale result: hashes of the run before, counted as new',
    broken: (sound) => {
      const answers = new Map<number, Uint8Array>();
      return {
        leaves: async (input, output) => {
          const kept = answers.get(input.length);
          if (kept !== undefined) {
            output.set(kept);
            return kept.length / 32;
          }
          const count = await sound.leaves(input, output);
          answers.set(input.length, output.slice());
          return count;
        },
      };
    },
    found: /canary/,
  },
  {
    what: 'a dead canary: the block is not hashed',
    broken: (sound) => ({
      leaves: async (input, output) => (isCanary(input) ? 1 : await sound.leaves(input, output)),
    }),
    found: /canary/,
  },
  {
    what: 'a dead canary in the nodes kernel',
    broken: (sound) => ({
      nodes: async (input, output) => (isCanary(input) ? 1 : await sound.nodes(input, output)),
    }),
    found: /canary/,
  },
  {
    what: 'a canary that is hashed wrong',
    broken: (sound) => ({
      leaves: async (input, output) => {
        const count = await sound.leaves(input, output);
        if (isCanary(input)) output[0] = (output[0] ?? 0) ^ 1;
        return count;
      },
    }),
    found: /canary/,
  },
];

describe('[CI-010] the host device never takes a run that did not happen for an answer', () => {
  for (const { what, broken, found } of faults) {
    it(`${what}: DEVICE_UNAVAILABLE`, async () => {
      for (const windowBytes of [undefined, 16 * BLOCK]) {
        const { device, arm } = await faulty(broken, windowBytes === undefined ? {} : { windowBytes });
        const region = await sealed(device);
        const before = await region.root();
        expect(before.blocks).toBe(151);
        arm();
        // The stale kernel answers its first armed run rightly but for nothing else: ask twice.
        const asked = async () => {
          await region.root();
          await region.root();
        };
        await expect(asked()).rejects.toMatchObject({
          code: 'DEVICE_UNAVAILABLE',
          message: expect.stringMatching(found),
        });
        await device.close();
        expect(device.stats().liveRegions).toBe(0);
      }
    });
  }

  it('an engine that fails is not a verdict either, and the next run starts afresh', async () => {
    let failing = false;
    const device = await hostBackend({
      inject: {
        kernels: (sound) => ({
          ...sound,
          leaves: (input, output) =>
            failing ? Promise.reject(new Error('the engine stopped')) : sound.leaves(input, output),
        }),
      },
    }).open(0);
    const region = await sealed(device);
    const { root } = await region.root();
    failing = true;
    await expect(region.root()).rejects.toMatchObject({ code: 'DEVICE_UNAVAILABLE' });
    failing = false;
    expect((await region.root()).root).toEqual(root);
    await device.close();
  });

  it('a window that fails, or an abort, waits for the window beside it: nothing hashes a region after its run', async () => {
    let hashing = 0;
    let calls = 0;
    let failing = false;
    const device = await hostBackend({
      inject: {
        kernels: (sound) => ({
          ...sound,
          leaves: async (input, output) => {
            const call = calls++;
            hashing++;
            // The first window fails at once, the second is slow.
            await new Promise((resolve) => setTimeout(resolve, failing && call > 0 ? 30 : 0));
            hashing--;
            if (failing && call === 0) throw new Error('the engine stopped');
            return await sound.leaves(input, output);
          },
        }),
      },
    }).open(0, { windowBytes: 16 * BLOCK });
    const region = await sealed(device);
    failing = true;
    calls = 0;
    await expect(region.root()).rejects.toMatchObject({ code: 'DEVICE_UNAVAILABLE' });
    expect([calls, hashing]).toEqual([2, 0]);
    failing = false;
    const aborting = new AbortController();
    const ended = region.root({ signal: aborting.signal, onProgress: () => aborting.abort() });
    await expect(ended).rejects.toMatchObject({ code: 'ABORTED' });
    expect(hashing).toBe(0);
    expect((await region.root()).blocks).toBe(151);
    await device.close();
  });

  it('a root of one block has no nodes kernel in it, and is proved by count and canary all the same', async () => {
    const { device, arm } = await faulty((sound) => ({
      leaves: async (input, output) => (isCanary(input) ? 1 : await sound.leaves(input, output)),
    }));
    const region = await device.allocate(100);
    await region.freeze();
    arm();
    await expect(region.root()).rejects.toMatchObject({ code: 'DEVICE_UNAVAILABLE' });
    await device.close();
  });
});
