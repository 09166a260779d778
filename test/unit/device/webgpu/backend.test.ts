import { describe, expect, it } from 'vitest';
import { VramError } from '../../../../src/base/errors.js';
import { describeAdapter } from '../../../../src/device/webgpu/adapter.js';
import { adoptGpuDevice } from '../../../../src/device/webgpu/backend.js';
import { planGrid } from '../../../../src/device/webgpu/batch.js';
import { webgpuBackend } from '../../../../src/device/webgpu/index.js';
import { planTree, scratchShape } from '../../../../src/device/webgpu/plan.js';
import { classify } from '../../../../src/policy/index.js';
import { prepareVulkan, testWebGpuBackend } from '../../../support/vulkan.js';
import { requestGpuDevice } from '../../../support/vulkan-device.js';
import { overlay } from '../../manager/fixture.js';

const { adapter } = await prepareVulkan();
const without = 'skipped without a WebGPU adapter';

describe('the WebGPU backend', () => {
  it('reports a missing provider as a problem, with what would help', async () => {
    const backend = webgpuBackend({
      gpu: () => Promise.reject(new VramError('DEVICE_UNAVAILABLE', 'npm install webgpu')),
      adviceWithoutAdapter: '',
    });
    expect(await backend.list()).toEqual([]);
    expect(await backend.problem()).toEqual({
      backend: 'webgpu',
      code: 'DEVICE_UNAVAILABLE',
      message: 'npm install webgpu',
      failed: false,
    });
    await expect(backend.open(0)).rejects.toMatchObject({ code: 'DEVICE_UNAVAILABLE' });
  });

  it.skipIf(adapter === 'host')(
    `lists each adapter once and opens none that is not there (${without})`,
    async () => {
      const backend = await testWebGpuBackend();
      if (backend === null) throw new Error('no WebGPU backend');
      const devices = await backend.list();
      expect(devices.length).toBeGreaterThan(0);
      expect(devices.map(({ index }) => index)).toEqual(devices.map((_, i) => i));
      expect(new Set(devices.map(({ name, driver }) => `${name} ${driver}`)).size).toBe(devices.length);
      expect(await backend.problem()).toBeNull();
      await expect(backend.open(devices.length)).rejects.toMatchObject({
        code: 'INVALID_INPUT',
        message: expect.stringContaining('webgpu:0'),
      });
      await expect(backend.open(0, { windowBytes: 4095 })).rejects.toMatchObject({
        code: 'INVALID_INPUT',
        argument: 'windowBytes',
      });
      if (adapter === 'mesa' || adapter === 'swiftshader') {
        expect(devices).toHaveLength(1);
        expect(devices[0]).toMatchObject({ execution: 'software', facts: { fallbackAdapter: true } });
      }
    },
  );

  it.skipIf(adapter === 'host')(
    `adds nothing to globalThis, and its capacity is never invented (${without})`,
    async () => {
      const backend = await testWebGpuBackend();
      if (backend === null) throw new Error('no WebGPU backend');
      const before = Object.getOwnPropertyNames(globalThis);
      const device = await backend.open(0);
      expect(await device.capacity()).toEqual({ totalBytes: null, freeBytes: null, source: 'none' });
      await device.close();
      expect(Object.getOwnPropertyNames(globalThis)).toEqual(before);
      expect(before).not.toContain('GPUBufferUsage');
    },
  );

  it.skipIf(adapter === 'host')(`describes an adopted device by its own adapter (${without})`, async () => {
    const gpu = await requestGpuDevice();
    const device = await adoptGpuDevice(gpu);
    expect(device.info).toMatchObject({ backend: 'webgpu', index: 0, ecc: 'unknown', uuid: null });
    expect(device.info.execution).toBe(adapter === 'hardware' ? 'hardware' : 'software');
    await device.close();
    gpu.destroy();
  });
});

describe('an adopted device', () => {
  /** A GPUDevice that says of its adapter what `adapterInfo` is. */
  const saying = (gpu: GPUDevice, adapterInfo: object | undefined): GPUDevice =>
    overlay(gpu, { adapterInfo });

  it.skipIf(adapter === 'host')(
    `[VP-002] counts as software if nobody says what it is, and as what the platform says whatever the caller does ` +
      `(${without})`,
    async () => {
      const gpu = await requestGpuDevice();
      for (const [own, given, execution] of [
        [undefined, undefined, 'software'],
        [{}, {}, 'software'],
        [undefined, { vendor: 'nvidia' }, 'hardware'],
        [{ description: 'llvmpipe' }, { vendor: 'nvidia' }, 'software'],
        [{ vendor: 'nvidia', isFallbackAdapter: false }, undefined, 'hardware'],
      ] as const) {
        const device = await adoptGpuDevice(saying(gpu, own), given);
        expect(device.info.execution).toBe(execution);
        expect(classify(device.info.facts).residency).toBe(execution === 'software' ? 'host' : 'unproven');
        await device.close();
      }
      gpu.destroy();
    },
  );
});

describe('adapter facts', () => {
  it.each([
    [{ vendor: 'mesa', device: 'llvmpipe-llvm-15' }, 'software', null],
    [{ description: 'SwiftShader driver 5.0.0' }, 'software', null],
    [{ description: 'Microsoft Basic Render Driver' }, 'software', null],
    [{ isFallbackAdapter: true }, 'software', null],
    [{ vendor: 'x', type: 'CPU' }, 'software', null],
    [{ vendor: 'nvidia', architecture: 'ampere' }, 'hardware', null],
    [{ vendor: 'nvidia', type: 'discrete GPU' }, 'hardware', false],
    [{ vendor: 'intel', type: 'integrated GPU' }, 'hardware', true],
    [{ isFallbackAdapter: false }, 'hardware', null],
    // Of which nobody says anything.
    [{}, 'software', null],
    [{ vendor: '', device: ' ', driver: 'x' }, 'software', null],
  ] as const)('%j is %s, integrated: %s', (facts, execution, integrated) => {
    const info = describeAdapter(facts, 0);
    expect(info.execution).toBe(execution);
    expect(info.facts).toMatchObject({
      execution,
      integrated,
      fallbackAdapter: execution === 'software',
      memoryType: null,
      totalBytes: null,
      pageable: null,
    });
  });

  it('names are shown without control characters and with an end', () => {
    expect(describeAdapter({ device: `A\u001b[31m\n${'x'.repeat(999)}` }, 0).name).toMatch(
      /^A \[31m x{1,200}$/,
    );
  });
});

describe('planGrid', () => {
  it.each([
    [1, 65_535, 1, 1],
    [64, 65_535, 1, 1],
    [65, 65_535, 2, 1],
    [64 * 65_535, 65_535, 65_535, 1],
    [64 * 65_535 + 1, 65_535, 32_768, 2],
    [64 * 100, 7, 7, 15],
  ])('%i invocations over dimensions of %i: %i x %i', (invocations, limit, columns, rows) => {
    if (rows > limit) {
      expect(() => planGrid(invocations, limit)).toThrow(/two-dimensional/);
      return;
    }
    expect(planGrid(invocations, limit)).toEqual({ columns, rows, row: columns * 64 });
    expect(columns * rows * 64).toBeGreaterThanOrEqual(invocations);
  });
});

describe('planTree', () => {
  /** Follows the steps with node numbers in place of hashes: every node must be made from exactly its own children. */
  function follow(blocks: number, level: number, windowBytes: number, resultNodes: number): number[] {
    const shape = scratchShape(windowBytes);
    const scratch = new Map<number, { level: number; index: number; leaves: number }>();
    const made = shape.levels.map(() => 0);
    const results: number[] = [];
    const put = (slot: number, at: number, leaves: number): void => {
      const index = made[at] ?? 0;
      made[at] = index + 1;
      scratch.set(slot, { level: at, index, leaves });
    };
    for (const step of planTree({ level, firstBlock: 0, blocks }, shape, resultNodes)) {
      if (step.kind === 'result') {
        for (let i = 0; i < step.count; i++) {
          const node = scratch.get(step.markSlot + 1 + i);
          expect(node?.level).toBe(level);
          results.push(node?.index ?? -1);
        }
        continue;
      }
      for (let i = 0; i < step.count; i++) {
        if (step.kind === 'leaves') {
          put(step.outSlot + i, 0, 1);
          continue;
        }
        const children = Array.from({ length: Math.min(128, step.inCount - 128 * i) }, (_, c) => {
          const child = scratch.get(step.inSlot + 128 * i + c);
          if (child === undefined) throw new Error('a node is read before it is made');
          return child;
        });
        const [first] = children;
        if (first === undefined) throw new Error('a node without children');
        const index = made[first.level + 1] ?? 0;
        if (children.some((child, c) => child.level !== first.level || child.index !== 128 * index + c)) {
          throw new Error(`node ${index} of level ${first.level + 1} has other nodes for children`);
        }
        put(
          step.outSlot + i,
          first.level + 1,
          children.reduce((sum, child) => sum + child.leaves, 0),
        );
      }
      for (const { markSlot, capacity } of shape.levels) {
        const beyond = markSlot + capacity + 1;
        const crosses = (slot: number): boolean => step.outSlot < slot && step.outSlot + step.count > slot;
        if (scratch.has(markSlot) || crosses(beyond)) throw new Error('a level is written outside its place');
      }
    }
    return results;
  }

  it.each([
    [1, 0, 4096, 1],
    [129, 1, 4096, 5],
    [1000, 0, 4096, 7],
    [40_000, 1, 300_000, 100],
    [40_000, 2, 4096 * 128, 3],
    [40_000, 3, 4096 * 1000, 1],
    [128 * 128 * 3 + 1, 3, 2 ** 26, 1],
    [128 * 4096 + 5, 2, 2 ** 26, 10_000],
  ])(
    '%i blocks to level %i by windows of %i bytes, %i results at a time',
    (blocks, level, windowBytes, resultNodes) => {
      const results = follow(blocks, level, windowBytes, resultNodes);
      const count = Math.ceil(blocks / 128 ** level);
      expect(results).toEqual(Array.from({ length: count }, (_, i) => i));
    },
  );
});
