import { describe, expect, it } from 'vitest';
import { VramError } from '../../src/base/errors.js';
import { hostBackend } from '../../src/device/host/index.js';
import type { Backend, DeviceInfo } from '../../src/device/types.js';
import { cli } from '../support/cli.js';
import { failingBackend } from '../support/failing-backend.js';

describe('devices', () => {
  it('shows each device with its class, and where its capacity comes from', async () => {
    const { code, stdout } = await cli(['devices']);
    expect(code).toBe(0);
    expect(stdout).toContain('HOST MEMORY, NOT VRAM');
  });

  it('says what is missing for backends that are not there', async () => {
    const missing: Backend = {
      kind: 'cuda',
      list: () => Promise.resolve([]),
      problem: () =>
        Promise.resolve({
          backend: 'cuda',
          code: 'DEVICE_UNAVAILABLE',
          message: 'install a driver',
          failed: false,
        }),
      open: () => Promise.reject(new Error('not reached')),
    };
    const { code, stdout } = await cli(['devices', '--json'], { backends: [missing, hostBackend()] });
    expect(code).toBe(0);
    const document = JSON.parse(stdout);
    expect(document.missing).toEqual([
      { backend: 'cuda', code: 'DEVICE_UNAVAILABLE', message: 'install a driver' },
    ]);
    expect(document.devices.map(({ id }: { id: string }) => id)).toEqual(['host']);
  });
});

describe('devices that report', () => {
  it('[MS-001] no address, in text or JSON', async () => {
    const { stdout } = await cli(['devices', '--json']);
    const info: { devices: DeviceInfo[] } = JSON.parse(stdout);
    expect(JSON.stringify(info)).not.toMatch(/0x[0-9a-f]{6,}/i);
  });
});

describe('selftest', () => {
  it('[CI-011] proves known answers, measures, and reports as JSON', async () => {
    const { code, stdout } = await cli(['selftest', '--size', '256KiB', '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      v: 1,
      ok: true,
      device: { id: 'host', residency: 'host' },
      knownAnswers: 'passed',
      throughput: { byteLength: 262_144 },
      readOnlyProbe: { outcome: 'not-applicable' },
    });
  });

  it('says so, and exits 5, when the device cannot be opened', async () => {
    const { code, stdout } = await cli(['selftest', '--device', 'host', '--json'], {
      backends: [failingBackend(new VramError('DEVICE_UNAVAILABLE', 'known answers failed'))],
    });
    expect(code).toBe(5);
    expect(JSON.parse(stdout)).toMatchObject({ ok: false, error: { code: 'DEVICE_UNAVAILABLE' } });
  });
});
