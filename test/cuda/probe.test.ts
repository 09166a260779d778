import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { ACCESS_READ } from '../../src/device/cuda/addon.js';
import { cudaBackend } from '../../src/device/cuda/index.js';
import { ptx } from '../../src/generated/ptx.js';
import { tryStore } from '../../src/node/devices/cuda/probe.js';
import { describeCuda } from './testbed.js';

const compiled = new URL('../../dist/node/devices/cuda/probe.js', import.meta.url);
const missing = existsSync(fileURLToPath(compiled)) ? '' : ' (NOT RUN: dist is not built)';

describeCuda('cuda: read-only store probe', (bed) => {
  const { emulator } = bed;

  it('[MS-009] a store to a frozen region faults', async () => {
    emulator.reset();
    expect(await tryStore(bed.backend(), 0)).toMatchObject({
      outcome: 'faulted',
      detail: expect.stringContaining('CUDA_ERROR_ILLEGAL_ADDRESS'),
    });
  });

  it('a driver that says read-only and does not keep to it is found out', async () => {
    emulator.reset();
    const backend = cudaBackend({
      addon: async () => ({ ...bed.addon, protect: async () => ACCESS_READ }),
      libraryPath: bed.libraryPath,
      pageable: () => false,
      driverDoubt: async () => null,
      kernels: async () => ({ image: ptx['vram'] ?? '', origin: null, replaced: false }),
    });
    expect(await tryStore(backend, 0)).toMatchObject({ outcome: 'stored' });
    expect(emulator.liveAllocations().total).toBe(0);
  });

  it('a driver that sets other rights than were asked for, and admits it: nothing is claimed or tried', async () => {
    emulator.reset({ ignoreReadOnly: true });
    expect(await tryStore(bed.backend(), 0)).toEqual({ outcome: 'unprotected', detail: 'api-only' });
    expect(emulator.liveAllocations().total).toBe(0);
  });

  it('without read-only mappings nothing is tried', async () => {
    emulator.reset({ devices: [{ vmm: false }] });
    expect(await tryStore(bed.backend(), 0)).toMatchObject({ outcome: 'unprotected' });
    expect(emulator.liveAllocations().total).toBe(0);
  });

  it.skipIf(missing !== '')(`in a child process: the context of this one stays whole${missing}`, async () => {
    emulator.reset();
    const device = await bed.backend().open(0);
    const { VRAM_RESIDENCY_LIBCUDA: before } = process.env;
    process.env['VRAM_RESIDENCY_LIBCUDA'] = bed.libraryPath ?? '';
    try {
      const module: unknown = await import(compiled.href);
      if (!isProbe(module)) throw new Error('dist has no probe');
      expect(await module.probeReadOnlyStore(0)).toMatchObject({ outcome: 'faulted' });
      await expect(module.probeReadOnlyStore(5)).rejects.toMatchObject({
        code: 'DEVICE_UNAVAILABLE',
        message: expect.stringContaining('devices present: cuda:0'),
      });
      await expect(module.probeReadOnlyStore(-1)).rejects.toMatchObject({ code: 'INVALID_INPUT' });
    } finally {
      if (before === undefined) delete process.env['VRAM_RESIDENCY_LIBCUDA'];
      else process.env['VRAM_RESIDENCY_LIBCUDA'] = before;
    }
    await (await device.allocate(1)).release();
    await device.close();
  });
});

function isProbe(value: unknown): value is { probeReadOnlyStore(index: number): Promise<unknown> } {
  return typeof value === 'object' && value !== null && 'probeReadOnlyStore' in value;
}
