import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { xorshiftBytes } from '../../../../src/device/known-answers.js';
import type { Device, WebGpuBinding } from '../../../../src/device/types.js';
import { adoptGpuDevice } from '../../../../src/device/webgpu/backend.js';
import { prepareVulkan } from '../../../support/vulkan.js';
import { captureBuffers, lookInside, lowerLimits, requestGpuDevice } from '../../../support/vulkan-device.js';

const { adapter } = await prepareVulkan();
const MiB = 1024 * 1024;
const STORAGE = 0x80;
const COPY_SRC = 0x4;
const COPY_DST = 0x8;
const MAP_READ = 0x1;

describe.skipIf(adapter === 'host')('sealed WebGPU buffers (skipped without a WebGPU adapter)', () => {
  let gpu: GPUDevice;
  let device: Device;
  let sealed: GPUBuffer[];
  const uncaptured: string[] = [];

  beforeAll(async () => {
    gpu = await requestGpuDevice();
    gpu.addEventListener('uncapturederror', (event) => uncaptured.push(event.error.message));
    lowerLimits(gpu, { maxStorageBufferBindingSize: MiB });
    sealed = captureBuffers(gpu, 'sealed weights');
    device = await adoptGpuDevice(gpu, gpu.adapterInfo, { drills: true });
  });
  afterAll(async () => {
    await device.close();
    gpu.destroy();
  });

  async function frozen(bytes: Uint8Array) {
    sealed.length = 0;
    const region = await device.allocate(bytes.length);
    await region.write(0, bytes);
    expect(await region.freeze()).toBe('usage-locked');
    return region;
  }

  async function validationError(body: () => unknown): Promise<string | null> {
    gpu.pushErrorScope('validation');
    body();
    return (await gpu.popErrorScope())?.message ?? null;
  }

  it('[MS-009] have STORAGE usage alone, so every copy and map call on them is a validation error', async () => {
    const region = await frozen(xorshiftBytes(7, 5000));
    const [buffer] = sealed;
    if (buffer === undefined) throw new Error('no sealed buffer was made');
    expect(sealed).toHaveLength(1);
    expect(buffer.usage).toBe(STORAGE);
    const other = gpu.createBuffer({ size: 4096, usage: COPY_SRC | COPY_DST });
    const copies: [GPUBuffer, GPUBuffer][] = [
      [other, buffer],
      [buffer, other],
    ];
    for (const [from, to] of copies) {
      const message = await validationError(() => {
        const encoder = gpu.createCommandEncoder();
        encoder.copyBufferToBuffer(from, 0, to, 0, 4096);
        gpu.queue.submit([encoder.finish()]);
      });
      expect(message).toMatch(/usage/i);
    }
    expect(await validationError(() => gpu.queue.writeBuffer(buffer, 0, new Uint32Array(4)))).toMatch(
      /usage/i,
    );
    expect(
      await validationError(() => {
        const encoder = gpu.createCommandEncoder();
        encoder.clearBuffer(buffer);
        encoder.finish();
      }),
    ).toMatch(/usage/i);
    gpu.pushErrorScope('validation');
    await expect(buffer.mapAsync(MAP_READ)).rejects.toThrow();
    expect(await gpu.popErrorScope()).not.toBeNull();
    expect(await region.read(0, 5000)).toEqual(xorshiftBytes(7, 5000));
    other.destroy();
    await region.release();
  });

  it('[MS-008] are overwritten with zeros before they are given back, every segment of them', async () => {
    const bytes = xorshiftBytes(8, 2 * MiB + 5);
    const region = await frozen(bytes);
    expect(sealed.map(({ size }) => size)).toEqual([MiB, MiB, 4096]);
    const [, second] = sealed;
    if (second === undefined) throw new Error('no second segment');
    expect(Buffer.compare(await lookInside(gpu, second, MiB), bytes.subarray(MiB, 2 * MiB))).toBe(0);
    const destroyed: GPUBuffer[] = [];
    const destroy = sealed.map((buffer) => buffer.destroy.bind(buffer));
    for (const buffer of sealed) buffer.destroy = () => void destroyed.push(buffer);
    await region.release();
    expect(destroyed).toEqual(sealed);
    for (const buffer of sealed) {
      expect((await lookInside(gpu, buffer, buffer.size)).every((byte) => byte === 0)).toBe(true);
    }
    for (const each of destroy) each();
    expect(device.stats()).toMatchObject({ liveRegions: 0, liveBytes: 0 });
  });

  it('[MS-008] are overwritten with zeros, each of a hundred that cuts made', async () => {
    // The first cut makes the device prove its shader for scattered buffers, with buffers of its own.
    await (await device.allocate(8192, { cuts: [0, 4096] })).release();
    sealed.length = 0;
    const bytes = xorshiftBytes(10, 101 * 4096 - 7);
    const cuts = Array.from({ length: 100 }, (_, index) => index * 4096);
    const region = await device.allocate(bytes.length, { cuts });
    await region.write(0, bytes);
    expect(await region.freeze()).toBe('api-only');
    expect(sealed.map(({ size, usage }) => [size, usage])).toEqual(
      cuts.map((_, index) => [index === 99 ? 8192 : 4096, STORAGE]),
    );
    const destroy = sealed.map((buffer) => buffer.destroy.bind(buffer));
    for (const buffer of sealed) buffer.destroy = () => undefined;
    const [first] = sealed;
    if (first === undefined) throw new Error('no sealed buffer was made');
    expect(Buffer.compare(await lookInside(gpu, first, 4096), bytes.subarray(0, 4096))).toBe(0);
    await region.release();
    for (const buffer of sealed) {
      expect((await lookInside(gpu, buffer, buffer.size)).every((byte) => byte === 0)).toBe(true);
    }
    for (const each of destroy) each();
    expect(device.stats()).toMatchObject({ liveRegions: 0, liveBytes: 0 });
  });

  describe('leases', () => {
    const bytes = xorshiftBytes(9, 2 * MiB + 1000);

    function binding(view: unknown): WebGpuBinding {
      if (typeof view !== 'object' || view === null || !('layout' in view))
        throw new Error('no WebGPU lease');
      return view as WebGpuBinding;
    }

    /** Sums the bytes of every group of a lease, from byteOffset on, in a pipeline of the caller's own. */
    async function sumThrough(
      lease: WebGpuBinding,
      range?: { offset: number; length: number },
    ): Promise<number> {
      const code = `
        @group(0) @binding(0) var<storage, read> weights: array<u32>;
        @group(1) @binding(0) var<storage, read_write> sum: atomic<u32>;
        override first: u32; override count: u32;
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
          if (id.x < count) {
            let at = first + id.x;
            atomicAdd(&sum, (weights[at / 4u] >> (8u * (at % 4u))) & 0xffu);
          }
        }`;
      const own = lease.device.createBindGroupLayout({
        entries: [{ binding: 0, visibility: 4, buffer: { type: 'storage' } }],
      });
      const sum = gpu.createBuffer({ size: 4, usage: STORAGE | COPY_SRC });
      const host = gpu.createBuffer({ size: 4, usage: COPY_DST | MAP_READ });
      const layout = gpu.createPipelineLayout({ bindGroupLayouts: [lease.layout, own] });
      const sumGroup = gpu.createBindGroup({
        layout: own,
        entries: [{ binding: 0, resource: { buffer: sum } }],
      });
      const module = gpu.createShaderModule({ code });
      for (const { group, byteOffset, byteLength } of lease.bindings(range)) {
        const pipeline = gpu.createComputePipeline({
          layout,
          compute: { module, constants: { first: byteOffset, count: byteLength } },
        });
        const encoder = gpu.createCommandEncoder();
        const pass = encoder.beginComputePass();
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, group);
        pass.setBindGroup(1, sumGroup);
        pass.dispatchWorkgroups(Math.ceil(byteLength / 64));
        pass.end();
        gpu.queue.submit([encoder.finish()]);
      }
      const encoder = gpu.createCommandEncoder();
      encoder.copyBufferToBuffer(sum, 0, host, 0, 4);
      gpu.queue.submit([encoder.finish()]);
      await host.mapAsync(MAP_READ);
      return new Uint32Array(host.getMappedRange().slice(0))[0] ?? -1;
    }

    it('show the bytes of any range through a read-only pipeline, one group a segment', async () => {
      const region = await frozen(bytes);
      const lease = binding(region.view(3, bytes.length - 10));
      expect(lease.byteLength).toBe(bytes.length - 10);
      expect(lease.bindings()).toHaveLength(3);
      const sumOf = (part: Uint8Array): number => part.reduce((sum, byte) => sum + byte, 0);
      const ranges = [
        { offset: 0, length: bytes.length - 10 },
        { offset: 777, length: 1 },
        { offset: MiB - 300, length: 1001 },
        { offset: 2 * MiB + 500, length: 400 },
      ];
      for (const { offset, length } of ranges) {
        expect(await sumThrough(lease, { offset, length })).toBe(
          sumOf(bytes.subarray(3 + offset, 3 + offset + length)),
        );
      }
      expect(lease.bindings({ offset: 5, length: 0 })).toEqual([]);
      expect(() => lease.bindings({ offset: 0, length: bytes.length })).toThrow(/length/);
      await lease.end();
      await lease.end();
      expect(() => lease.bindings()).toThrow(expect.objectContaining({ code: 'NOT_FOUND' }));
      expect(() => lease.layout).toThrow(expect.objectContaining({ code: 'NOT_FOUND' }));
      await region.release();
    });

    it('are refused by WebGPU to a pipeline with write access and to one with an automatic layout', async () => {
      const region = await frozen(bytes);
      const lease = binding(region.view(0, 100));
      const [first] = lease.bindings();
      if (first === undefined) throw new Error('no group');
      const writes = `@group(0) @binding(0) var<storage, read_write> weights: array<u32>;
        @compute @workgroup_size(1) fn main() { weights[0] = 1u; }`;
      const withOurLayout = await validationError(() =>
        gpu.createComputePipeline({
          layout: gpu.createPipelineLayout({ bindGroupLayouts: [lease.layout] }),
          compute: { module: gpu.createShaderModule({ code: writes }) },
        }),
      );
      expect(withOurLayout).toMatch(/read-write|ReadOnlyStorage|storage/i);
      for (const code of [
        writes,
        writes.replace('read_write', 'read').replace('weights[0] = 1u', '_ = weights[0]'),
      ]) {
        const automatic = gpu.createComputePipeline({
          layout: 'auto',
          compute: { module: gpu.createShaderModule({ code }) },
        });
        const message = await validationError(() => {
          const encoder = gpu.createCommandEncoder();
          const pass = encoder.beginComputePass();
          pass.setPipeline(automatic);
          pass.setBindGroup(0, first.group);
          pass.dispatchWorkgroups(1);
          pass.end();
          gpu.queue.submit([encoder.finish()]);
        });
        expect(message).toMatch(/layout/i);
      }
      expect(await region.read(0, 100)).toEqual(bytes.subarray(0, 100));
      await region.release();
      expect(() => lease.bindings()).toThrow(expect.objectContaining({ code: 'NOT_FOUND' }));
    });
  });

  it('leave no error for the owner of the device to find', () => {
    expect(uncaptured).toEqual([]);
  });
});
