import { expect, it } from 'vitest';
import { isPageable } from '../../src/node/devices/cuda/pageable.js';
import { classify } from '../../src/policy/classify.js';
import type { EmulatedDevice, EmulatorSettings } from '../support/cuda.js';
import { describeCuda, withDevice } from './testbed.js';

const GIB = 2 ** 30;
const MIB = 1024 * 1024;
/** What a test driver lacks of a real one: to be one, and to lie where systems keep theirs. */
const REAL = { execution: 'hardware', driverOverride: false, driverDoubt: null } as const;

describeCuda('cuda: memory information', (bed) => {
  const { emulator } = bed;

  it("[WK-003] total bytes are the driver's", async () => {
    await withDevice(
      bed,
      async (device) => {
        expect(await device.capacity()).toMatchObject({ totalBytes: 8 * GIB, source: 'driver' });
      },
      { devices: [{ totalBytes: 8 * GIB }] },
    );
  });

  it("[WK-003] free bytes are the driver's, and follow what is allocated", async () => {
    await withDevice(bed, async (device) => {
      const free = async () => (await device.capacity()).freeBytes ?? Number.NaN;
      const before = await free();
      const region = await device.allocate(5 * MIB);
      const taken = before - (await free());
      expect(taken).toBeGreaterThanOrEqual(6 * MIB);
      expect(taken).toBeLessThanOrEqual(6 * MIB + bed.slackBytes);
      await region.release();
      expect(Math.abs((await free()) - before)).toBeLessThanOrEqual(bed.slackBytes);
    });
  });

  it('memory that others use is not free', async () => {
    await withDevice(
      bed,
      async (device) => {
        const { totalBytes, freeBytes } = await device.capacity();
        expect((totalBytes ?? 0) - (freeBytes ?? 0)).toBeGreaterThanOrEqual(3 * GIB);
      },
      { devices: [{ totalBytes: 4 * GIB, usedByOthers: 3 * GIB }] },
    );
  });

  it('capacity of a device that was closed is refused', async () => {
    const device = await withDevice(bed, async (open) => open);
    await expect(device.capacity()).rejects.toMatchObject({ code: 'DEVICE_LOST' });
  });

  it('list tells UUID, PCI id, driver and kernels of the device', async () => {
    emulator.reset();
    const listed = (await bed.backend().list()).find(({ index }) => index === bed.index);
    expect(listed?.uuid).toMatch(/^GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    expect(listed?.driver).toMatch(
      /^CUDA \d+\.\d+ \(\/.*libcuda\.so.*\), PCI [0-9a-f:.]+, kernels [a-zA-Z ]+ sha256:[0-9a-f]{64}$/i,
    );
    expect(['on', 'off']).toContain(listed?.ecc);
    expect(await bed.leftBehind()).toBeNull();
  });

  it("list tells every device's name, UUID, PCI id, driver and ECC state as the driver does", async () => {
    emulator.reset({
      devices: [
        { name: 'first', ecc: true },
        { name: 'second', ecc: false },
      ],
    });
    const [first, second] = await bed.backend().list();
    expect(first).toMatchObject({
      backend: 'cuda',
      index: 0,
      name: 'first',
      ecc: 'on',
      execution: 'emulated',
    });
    expect(second).toMatchObject({ index: 1, name: 'second', ecc: 'off' });
    expect(first?.uuid).toMatch(/^GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    expect(first?.uuid).not.toBe(second?.uuid);
    expect(first?.driver).toMatch(
      /^CUDA 12\.8 \(\/.*libcuda\.so\.1\), PCI 0000:01:00\.0, kernels PTX sha256:[0-9a-f]{64}$/,
    );
    expect(emulator.liveAllocations().total).toBe(0);
  });
});

describeCuda('cuda: policy facts', (bed) => {
  /** The class of a device as the driver describes it, did it not say of itself that it is emulated. */
  async function classOf(device: EmulatedDevice, settings: EmulatorSettings = {}): Promise<string> {
    bed.emulator.reset({ ...settings, devices: [device] });
    const opened = await bed.backend().open(0);
    const [listed] = await bed.backend().list();
    await opened.close();
    expect(listed?.facts).toEqual(opened.info.facts);
    const { facts } = opened.info;
    return classify({ ...facts, ...REAL }).residency;
  }

  it('[VP-001] a discrete GPU with memory of its own is device-local', async () => {
    expect(await classOf({})).toBe('device-local');
  });

  it('[VP-002] integrated and managed memory are unified', async () => {
    expect(await classOf({ integrated: true })).toBe('unified');
    expect(await classOf({ managed: true })).toBe('unified');
    expect(await classOf({ memoryType: 4 })).toBe('unified');
  });

  it('[VP-002] pointer attributes that say host memory are host', async () => {
    expect(await classOf({ memoryType: 1 })).toBe('host');
  });

  it('a compute capability below 7.5 and less than 1 GiB are unproven', async () => {
    expect(await classOf({ major: 7, minor: 5 })).toBe('device-local');
    expect(await classOf({ totalBytes: GIB })).toBe('device-local');
    expect(await classOf({ totalBytes: GIB - 1 })).toBe('unproven');
  });

  it('pointer attributes that nobody knows prove nothing', async () => {
    expect(await classOf({ memoryType: 3 })).toBe('unproven');
  });

  it('[VP-005] whatever a test driver claims, its memory is host memory, and it is an override', async () => {
    bed.requireTestDriver('is about the test driver');
    await withDevice(bed, async (device) => {
      expect(device.info.execution).toBe('emulated');
      expect(device.info.facts.driverOverride).toBe(true);
      expect(classify(device.info.facts).residency).toBe('host');
    });
  });

  it('WSL2 is found by the kernel, by /dev/dxg and by where the driver lies', () => {
    const linux = { kernelRelease: '6.1.0-18-amd64', dxg: false };
    const path = '/usr/lib/x86_64-linux-gnu/libcuda.so.550.54.14';
    expect(isPageable(path, linux)).toBe(false);
    expect(isPageable(path, { kernelRelease: '5.15.146.1-microsoft-standard-WSL2', dxg: false })).toBe(true);
    expect(isPageable(path, { ...linux, dxg: true })).toBe(true);
    expect(isPageable('/usr/lib/wsl/lib/libcuda.so.1', linux)).toBe(true);
    expect(isPageable(path, { kernelRelease: null, dxg: false })).toBe(null);
  });

  it('a device under WSL2 is unproven', async () => {
    bed.emulator.reset();
    const backend = bed.backend({ signs: { kernelRelease: '5.15-microsoft-standard-WSL2', dxg: true } });
    const info = (await backend.list()).find(({ index }) => index === bed.index);
    expect(info?.facts.pageable).toBe(true);
    if (info === undefined) throw new Error('no device');
    expect(classify({ ...info.facts, ...REAL }).residency).toBe('unproven');
  });
});
