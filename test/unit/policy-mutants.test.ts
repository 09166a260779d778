import { describe, expect, it } from 'vitest';
import type { ResidencyFacts } from '../../src/device/index.js';
import { checkPolicy, classify } from '../../src/policy/index.js';

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

describe('[VP-007] policies', () => {
  it('are refused by name unless they are one of the three', () => {
    for (const policy of ['vram-only', 'gpu', 'any']) expect(checkPolicy('policy', policy)).toBe(policy);
    for (const policy of ['', 'VRAM-ONLY', null, undefined, 1, ['any']]) {
      expect(() => checkPolicy('policy', policy)).toThrow(/^"policy" must be one of vram-only, gpu, any/);
    }
  });
});
