import { describe, expect, it } from 'vitest';
import type { ResidencyFacts } from '../../src/device/index.js';
import { POLICIES } from '../../src/policy/decide.js';
import {
  acceptedClasses,
  classify,
  decide,
  policyViolation,
  type Residency,
} from '../../src/policy/index.js';

const H100: ResidencyFacts = {
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

const WEBGPU: ResidencyFacts = {
  backend: 'webgpu',
  execution: 'hardware',
  integrated: null,
  memoryType: null,
  fallbackAdapter: false,
  pageable: null,
  computeCapability: null,
  totalBytes: null,
  driverOverride: false,
  driverFile: null,
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

describe('[VP-001] decision', () => {
  const classes: Residency[] = ['device-local', 'unified', 'unproven', 'host'];
  it.each([
    ['vram-only', ['device-local']],
    ['gpu', ['device-local', 'unified', 'unproven']],
    ['any', classes],
  ] as const)('%s accepts %j alone', (policy, accepted) => {
    expect(acceptedClasses(policy)).toEqual(accepted);
    for (const residency of classes) {
      const decision = decide(policy, residency, H100);
      expect(decision.accepted).toBe(accepted.some((one) => one === residency));
      expect(decision).toMatchObject({ policy, residency });
    }
  });

  it('[VP-005] vram-only refuses an override, whatever class it claims; other policies judge by class', () => {
    const facts = { ...H100, driverOverride: true };
    for (const residency of classes) {
      expect(decide('vram-only', residency, facts)).toMatchObject({
        accepted: false,
        why: expect.stringContaining('overridden'),
      });
    }
    expect(decide('gpu', 'unproven', facts).accepted).toBe(true);
    expect(decide('any', 'host', facts).accepted).toBe(true);
  });

  it('[VP-005] vram-only refuses replaced kernels, whatever class it claims, unless they are allowed; other policies do not', () => {
    const facts = { ...H100, kernelsReplaced: true };
    for (const residency of classes) {
      expect(decide('vram-only', residency, facts)).toMatchObject({
        accepted: false,
        why: expect.stringContaining('other kernels'),
      });
      const allowed = decide('vram-only', residency, facts, { allowReplacedKernels: true });
      expect(allowed.accepted).toBe(residency === 'device-local');
      expect(decide('any', residency, facts).accepted).toBe(true);
    }
    expect(
      decide('vram-only', 'device-local', { ...facts, driverOverride: true }, { allowReplacedKernels: true })
        .accepted,
    ).toBe(false);
  });

  it('a violation says what would help', () => {
    const facts: ResidencyFacts = { ...WEBGPU };
    const error = policyViolation(decide('vram-only', 'unproven', facts));
    expect(error).toMatchObject({ code: 'POLICY_VIOLATION', kind: 'fatal', scope: 'manager' });
    expect(error.message).toContain('"gpu"');
    expect(policyViolation(decide('gpu', 'host', facts)).message).toContain('"any"');
    const overridden = policyViolation(
      decide('vram-only', 'device-local', { ...H100, driverOverride: true }),
    );
    expect(overridden.message).toContain('remove the override');
    expect(POLICIES).toEqual(['vram-only', 'gpu', 'any']);
  });
});
