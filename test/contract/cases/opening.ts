import { proveKnownAnswers } from '../../../src/device/known-answers.js';
import { deviceId } from '../../../src/device/types.js';
import { equal, ok } from '../assert.js';
import type { ContractCase } from '../context.js';
import { SMALL_WINDOW } from '../regions.js';

export const openingCases: readonly ContractCase[] = [
  {
    name: '[CI-011] an open device gives the known answers again, and keeps nothing of them',
    run: async (context) => {
      const device = await context.open();
      equal(device.stats().liveRegions, 0, 'regions left by open');
      await proveKnownAnswers(device, null);
      equal(device.stats().liveRegions, 0, 'regions left by the proof');
      equal(device.stats().liveBytes, 0, 'bytes left by the proof');
    },
  },
  {
    name: '[VP-006] what a device says of itself fits together',
    run: async (context) => {
      const { info } = await context.shared();
      equal(info.facts.backend, info.backend, 'backend in the facts');
      equal(info.facts.execution, info.execution, 'execution in the facts');
      ok(info.name.length > 0 && info.name.length <= 1024, 'name');
      ok(Number.isSafeInteger(info.index) && info.index >= 0, 'index');
      const id = deviceId(info);
      ok(/^(host|(cuda|webgpu):\d+)$/.test(id), `id "${id}"`);
    },
  },
  {
    name: '[RP-001] scratch is bounded by the window, whatever the region',
    run: async (context) => {
      const small = await context.shared({ windowBytes: SMALL_WINDOW });
      const scratch = small.stats().scratchBytes;
      ok(scratch > 0, 'scratch is counted');
      // Leaves of the window, upper levels and staging: far below any shard's size.
      ok(scratch <= 64 * 1024 * 1024, `${scratch} bytes of scratch`);
    },
  },
];
