import type { ResidencyFacts } from '../../../src/device/index.js';

export const H100: ResidencyFacts = {
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

export const WEBGPU: ResidencyFacts = {
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
