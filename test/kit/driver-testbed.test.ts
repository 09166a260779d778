import { afterEach, describe, expect, it } from 'vitest';
import { CaseSkipped, NeedsOwnProcess } from '../../scripts/kit/suites/outcome.js';
import type { DriverTestbed } from '../../scripts/kit/suites/testbed.js';
import { openTestbed } from '../../scripts/kit/suites/testbed.js';
import { cudaTestbed } from '../support/cuda.js';

const MIB = 1024 * 1024;
const emulated = await cudaTestbed();

describe('testbed over a driver that keeps no accounts', () => {
  if (emulated.missing !== null) {
    it.skip(`NOT RUN: ${emulated.missing}`);
    return;
  }
  const { addonPath, libraryPath, emulator } = emulated;
  let bed: DriverTestbed | null = null;

  async function open(ownProcess = false): Promise<DriverTestbed> {
    emulator.reset();
    process.env['VRAM_RESIDENCY_LIBCUDA'] = libraryPath;
    bed = await openTestbed({ addonPath, index: 0, ownProcess });
    return bed;
  }

  afterEach(async () => {
    await bed?.close();
    delete process.env['VRAM_RESIDENCY_LIBCUDA'];
  });

  it('every control of the test driver is refused, a reset without settings excepted', async () => {
    const { emulator: refusing } = await open();
    refusing.reset();
    refusing.reset({});
    const controls = Object.entries(emulator).filter(([, value]) => typeof value === 'function');
    const served = controls.map(([name]) => name).filter((name) => name in refusing);
    expect(served.length).toBeGreaterThan(15);
    for (const name of served) {
      const control: unknown = Reflect.get(refusing, name);
      if (typeof control !== 'function') throw new Error(`${name} is not a function`);
      expect(() => control({ granularity: 1 }), name).toThrowError(CaseSkipped);
    }
  });

  it('memory that did not come back is told, and forgotten when it does', async () => {
    const { addon, leftBehind } = await open();
    expect(await leftBehind()).toBeNull();
    const device = await addon.open(await addon.load(libraryPath), 0, 4096);
    await addon.allocate(device, 32 * MIB, true);
    expect(await leftBehind()).toBe(`${32 * MIB} bytes of device memory have not come back`);
    await addon.close(device);
    expect(await leftBehind()).toBeNull();
  });

  it('small leaks add up', async () => {
    const { addon, leftBehind, slackBytes } = await open();
    const device = await addon.open(await addon.load(libraryPath), 0, 4096);
    for (let taken = 0; taken <= slackBytes; taken += 2 * MIB) {
      expect(await leftBehind()).toBeNull();
      await addon.allocate(device, 2 * MIB, true);
    }
    expect(await leftBehind()).toMatch(/bytes of device memory have not come back/);
    await addon.close(device);
  });

  it('a case that voids the context is sent to a process of its own, unless it is in one', async () => {
    const shared = await open();
    expect(() => shared.requireOwnProcess()).toThrowError(NeedsOwnProcess);
    await shared.close();
    const own = await open(true);
    expect(() => own.requireOwnProcess()).not.toThrow();
  });
});
