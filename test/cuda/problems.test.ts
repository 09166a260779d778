import { expect, it } from 'vitest';
import { describeCuda } from './testbed.js';

const NO_DEVICE = 100;

describeCuda('cuda: what is missing', (bed) => {
  const { emulator } = bed;

  it('no driver: says so, and which one is needed', async () => {
    const backend = bed.backend({ libraryPath: '/nowhere/libcuda.so.1' });
    expect(await backend.list()).toEqual([]);
    expect(await backend.problem()).toMatchObject({
      backend: 'cuda',
      code: 'DEVICE_UNAVAILABLE',
      message: expect.stringMatching(/no NVIDIA driver.*VRAM_RESIDENCY_LIBCUDA/),
    });
    await expect(backend.open(0)).rejects.toMatchObject({ code: 'DEVICE_UNAVAILABLE' });
  });

  it('a library that is not a driver', async () => {
    const backend = bed.backend({ libraryPath: bed.addonPath });
    expect((await backend.problem())?.message).toContain('has no function');
  });

  it('a driver older than 525', async () => {
    emulator.reset({ driverVersion: 11_080 });
    const backend = bed.backend();
    expect(await backend.list()).toEqual([]);
    expect((await backend.problem())?.message).toMatch(/serves CUDA 11\.8; 12\.0 is needed/);
  });

  it('a driver without a device', async () => {
    emulator.reset({ initResult: NO_DEVICE });
    const backend = bed.backend();
    expect(await backend.list()).toEqual([]);
    expect((await backend.problem())?.message).toContain('CUDA_ERROR_NO_DEVICE');
  });

  it('[IV-002] an index that is not there is refused with the devices that are', async () => {
    emulator.reset({ devices: [{}, {}] });
    await expect(bed.backend().open(2)).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      message: expect.stringContaining('cuda:0, cuda:1'),
    });
  });

  it('a problem that has gone is gone: the next list is not empty', async () => {
    emulator.reset();
    const backend = bed.backend();
    emulator.failCall('cuDeviceGetName', 1, 1);
    expect(await backend.list()).toEqual([]);
    expect((await backend.problem())?.message).toContain('cuDeviceGetName');
    expect(await backend.list()).toHaveLength(1);
    expect(await backend.problem()).toBeNull();
  });
});
