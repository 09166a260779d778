import { describe, expect, it } from 'vitest';
import type { ResidencyFacts } from '../../../src/device/index.js';
import { classify, type Residency } from '../../../src/policy/index.js';
import { H100, WEBGPU } from './fixture.js';

const FACTS: ResidencyFacts = {
  backend: 'cuda',
  execution: 'hardware',
  integrated: false,
  memoryType: 'device',
  fallbackAdapter: null,
  pageable: false,
  computeCapability: { major: 9, minor: 0 },
  totalBytes: 80 * 2 ** 30,
  driverOverride: false,
  driverFile: '/usr/lib/x86_64-linux-gnu/libcuda.so.550.54.14',
  driverDoubt: null,
  kernelsReplaced: false,
};

describe('[VP-002] classification', () => {
  it.each<[string, Residency, RegExp, Partial<ResidencyFacts>, ResidencyFacts]>([
    ['a discrete GPU', 'device-local', /discrete/, {}, H100],
    [
      'compute capability 7.5',
      'device-local',
      /discrete/,
      { computeCapability: { major: 7, minor: 5 } },
      H100,
    ],
    ['exactly 1 GiB', 'device-local', /discrete/, { totalBytes: 2 ** 30 }, H100],
    ['an integrated GPU', 'unified', /integrated/, { integrated: true }, H100],
    ['a managed pointer', 'unified', /managed/, { memoryType: 'managed' }, H100],
    ['a host pointer', 'host', /host memory/, { memoryType: 'host' }, H100],
    [
      'an integrated GPU with a host pointer',
      'host',
      /host memory/,
      { integrated: true, memoryType: 'host' },
      H100,
    ],
    ['compute capability 7.0', 'unproven', /7\.0/, { computeCapability: { major: 7, minor: 0 } }, H100],
    ['compute capability 6.9', 'unproven', /6\.9/, { computeCapability: { major: 6, minor: 9 } }, H100],
    ['no compute capability', 'unproven', /compute capability/, { computeCapability: null }, H100],
    ['a byte less than 1 GiB', 'unproven', /1 GiB/, { totalBytes: 2 ** 30 - 1 }, H100],
    ['no size', 'unproven', /size/, { totalBytes: null }, H100],
    ['WSL2 or WDDM', 'unproven', /WSL2 or WDDM/, { pageable: true }, H100],
    ['unknown paging', 'unproven', /page/, { pageable: null }, H100],
    ['an unknown memory type', 'unproven', /probe/, { memoryType: null }, H100],
    ['unknown integration', 'unproven', /own/, { integrated: null }, H100],
    ['an emulated driver', 'host', /emulated/, { execution: 'emulated' }, H100],
    [
      'an emulated driver by override',
      'host',
      /emulated/,
      { execution: 'emulated', driverOverride: true },
      H100,
    ],
    [
      'a driver by override that claims to be real',
      'unproven',
      /not the system/,
      { driverOverride: true },
      H100,
    ],
    ['a driver from an unknown file', 'unproven', /not known which file/, { driverFile: null }, H100],
    [
      'a driver from a file that is not the system’s',
      'unproven',
      /^the driver was loaded from \/home\/x$/,
      { driverDoubt: 'was loaded from /home/x' },
      H100,
    ],
    ['a hardware WebGPU adapter', 'unproven', /WebGPU/, {}, WEBGPU],
    ['a WebGPU adapter known to be integrated', 'unified', /integrated/, { integrated: true }, WEBGPU],
    ['a CPU adapter', 'host', /CPU/, { execution: 'software', fallbackAdapter: true }, WEBGPU],
    ['a fallback adapter that claims hardware', 'host', /fallback/, { fallbackAdapter: true }, WEBGPU],
    ['the host backend', 'host', /host memory/, { backend: 'host', execution: 'software' }, WEBGPU],
    ['a host backend that claims everything', 'host', /host memory/, { backend: 'host' }, H100],
  ])('%s is %s', (_name, residency, why, facts, base) => {
    const found = classify({ ...base, ...facts });
    expect(found.residency).toBe(residency);
    expect(found.why).toMatch(why);
  });

  it('nothing but the full set of facts proves VRAM: every single fact taken away or turned loses the class', () => {
    const spoilt: Partial<ResidencyFacts>[] = [
      { backend: 'webgpu' },
      { backend: 'host' },
      { execution: 'software' },
      { execution: 'emulated' },
      { integrated: true },
      { integrated: null },
      { memoryType: 'managed' },
      { memoryType: 'host' },
      { memoryType: null },
      { fallbackAdapter: true },
      { pageable: true },
      { pageable: null },
      { computeCapability: null },
      { totalBytes: null },
      { totalBytes: 0 },
      { driverOverride: true },
      { driverFile: null },
      { driverDoubt: 'lies elsewhere' },
    ];
    for (const facts of spoilt) expect(classify({ ...H100, ...facts }).residency).not.toBe('device-local');
  });
});

describe('[VP-002] the reason for a class says what was known', () => {
  it('paging that is known, and paging that is not', () => {
    expect(classify({ ...FACTS, pageable: true }).why).toBe(
      'under WSL2 or WDDM the system may page device memory out to the host',
    );
    expect(classify({ ...FACTS, pageable: null }).why).toBe(
      'it is not known whether the system may page device memory out',
    );
  });
});
