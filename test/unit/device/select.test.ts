import { describe, expect, it } from 'vitest';
import { VramError } from '../../../src/base/errors.js';
import { hostBackend } from '../../../src/device/host/index.js';
import { deviceId, type SkippedDevice, selectDevice } from '../../../src/device/index.js';
import type {
  Backend,
  BackendKind,
  Device,
  DeviceInfo,
  KernelExecution,
  OpenOptions,
} from '../../../src/device/types.js';
import { overlay } from '../../contract/broken.js';

interface Present {
  readonly execution: KernelExecution;
  readonly fails?: VramError;
}

/** A backend with these devices: every one that opens is a host device under another name. */
function backend(
  kind: BackendKind,
  present: readonly Present[],
  opened: OpenOptions[] = [],
  problem = 'the driver is not installed',
): Backend {
  const infos = present.map(
    ({ execution }, index): DeviceInfo => ({
      backend: kind,
      index,
      name: `${kind} ${index}`,
      uuid: null,
      driver: null,
      execution,
      ecc: 'unknown',
      facts: {
        backend: kind,
        execution,
        integrated: null,
        memoryType: null,
        fallbackAdapter: null,
        pageable: null,
        computeCapability: null,
        totalBytes: null,
        driverOverride: false,
        driverFile: null,
        driverDoubt: null,
        kernelsReplaced: false,
      },
    }),
  );
  return {
    kind,
    list: async () => infos,
    problem: async () =>
      infos.length > 0
        ? null
        : { backend: kind, code: 'DEVICE_UNAVAILABLE', message: problem, failed: false },
    open: async (index, options = {}) => {
      const { fails } = present[index] ?? {};
      if (fails !== undefined) throw fails;
      const info = infos[index];
      if (info === undefined) throw new VramError('INVALID_INPUT', 'not there');
      opened.push(options);
      return overlay(await hostBackend().open(0), { info });
    },
  };
}

async function idOf(device: Promise<Device>): Promise<string> {
  const opened = await device;
  await opened.close();
  return deviceId(opened.info);
}

const broken = new VramError('DEVICE_UNAVAILABLE', 'it failed its known-answer test');

describe('selectDevice', () => {
  it('auto: CUDA, hardware WebGPU, software WebGPU, host', async () => {
    const host = hostBackend();
    const cuda = backend('cuda', [{ execution: 'hardware' }]);
    const mixed = backend('webgpu', [{ execution: 'software' }, { execution: 'hardware' }]);
    const software = backend('webgpu', [{ execution: 'software' }]);
    expect(await idOf(selectDevice([host, mixed, cuda], 'auto'))).toBe('cuda:0');
    expect(await idOf(selectDevice([host, mixed], 'auto'))).toBe('webgpu:1');
    expect(await idOf(selectDevice([host, software, backend('cuda', [])], 'auto'))).toBe('webgpu:0');
    expect(await idOf(selectDevice([host, backend('webgpu', [])], 'auto'))).toBe('host');
  });

  it('auto passes over what fails, and says why', async () => {
    const skipped: SkippedDevice[] = [];
    const noList: Backend = { ...backend('webgpu', []), list: () => Promise.reject(new Error('no library')) };
    const cuda = backend('cuda', [{ execution: 'hardware', fails: broken }, { execution: 'hardware' }]);
    const onSkipped = (one: SkippedDevice) => skipped.push(one);
    expect(await idOf(selectDevice([noList, cuda, hostBackend()], 'auto', { onSkipped }))).toBe('cuda:1');
    expect(skipped).toEqual([
      { device: 'webgpu', code: 'DEVICE_UNAVAILABLE', message: 'no library', failed: true },
      {
        device: 'cuda:0',
        code: 'DEVICE_UNAVAILABLE',
        message: 'it failed its known-answer test',
        failed: true,
      },
    ]);
  });

  it('auto with nothing left names every reason', async () => {
    const only = backend('cuda', [{ execution: 'hardware', fails: broken }]);
    await expect(selectDevice([only, backend('webgpu', [])], 'auto')).rejects.toMatchObject({
      code: 'DEVICE_UNAVAILABLE',
      message: expect.stringMatching(/driver is not installed.*cuda:0: it failed its known-answer test/),
    });
    await expect(selectDevice([], 'auto')).rejects.toMatchObject({ code: 'DEVICE_UNAVAILABLE' });
  });

  it('a device asked for by name is opened or refused, never replaced', async () => {
    const backends = [
      hostBackend(),
      backend('webgpu', [{ execution: 'software' }, { execution: 'hardware', fails: broken }]),
    ];
    expect(await idOf(selectDevice(backends, 'host'))).toBe('host');
    expect(await idOf(selectDevice(backends, 'webgpu:0'))).toBe('webgpu:0');
    await expect(selectDevice(backends, 'webgpu:1')).rejects.toBe(broken);
  });

  it('[IV-002] an index that is not there is INVALID_INPUT, and the message lists the devices present', async () => {
    const backends = [
      backend('cuda', [{ execution: 'hardware' }, { execution: 'hardware' }]),
      backend('webgpu', [{ execution: 'software' }]),
      hostBackend(),
    ];
    await expect(selectDevice(backends, 'cuda:7')).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'device',
      message: expect.stringContaining('devices present: cuda:0, cuda:1, webgpu:0, host'),
    });
  });

  it('[IV-002] a backend without devices says why, and what there is instead', async () => {
    await expect(selectDevice([backend('cuda', []), hostBackend()], 'cuda:0')).rejects.toMatchObject({
      code: 'DEVICE_UNAVAILABLE',
      message: expect.stringMatching(/the driver is not installed; devices present: host$/),
    });
    await expect(selectDevice([hostBackend()], 'webgpu:0')).rejects.toMatchObject({
      code: 'DEVICE_UNAVAILABLE',
    });
  });

  it('refuses what is not a device name', async () => {
    const bad = [
      '',
      'cpu',
      'CUDA:0',
      'cuda',
      'cuda:',
      'cuda:-1',
      'cuda:01',
      'cuda:0x1',
      'cuda:0 ',
      'host:0',
      'webgpu:1e3',
    ];
    for (const name of [...bad, 'cuda:0\0', 'cuda:9999999999', 'auto\n']) {
      await expect(selectDevice([hostBackend()], name), JSON.stringify(name)).rejects.toMatchObject({
        code: 'INVALID_INPUT',
        argument: 'device',
      });
    }
  });

  it('a wrong option is refused before any device is tried', async () => {
    const skipped: SkippedDevice[] = [];
    const options = { windowBytes: 5, onSkipped: (one: SkippedDevice) => skipped.push(one) };
    await expect(selectDevice([hostBackend()], 'auto', options)).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'windowBytes',
    });
    expect(skipped).toEqual([]);
  });

  it('passes the open options on, and nothing else', async () => {
    const opened: OpenOptions[] = [];
    const backends = [backend('cuda', [{ execution: 'hardware' }], opened)];
    const options = { windowBytes: 8192, drills: true, forceHost: false, onSkipped: () => undefined };
    await idOf(selectDevice(backends, 'auto', options));
    await idOf(selectDevice(backends, 'cuda:0', options));
    expect(opened).toEqual([
      { windowBytes: 8192, drills: true },
      { windowBytes: 8192, drills: true },
    ]);
  });

  it('[VP-005] mock mode opens the host, marked as an override, and refuses any other device', async () => {
    const backends = [backend('cuda', [{ execution: 'hardware' }]), hostBackend()];
    for (const backend of ['auto', 'host']) {
      const device = await selectDevice(backends, backend, { forceHost: true });
      expect(deviceId(device.info)).toBe('host');
      expect(device.info.facts.driverOverride).toBe(true);
      await device.close();
    }
    await expect(selectDevice(backends, 'cuda:0', { forceHost: true })).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'device',
    });
    const device = await selectDevice(backends, 'host');
    expect(device.info.facts.driverOverride).toBe(false);
    await device.close();
  });
});
