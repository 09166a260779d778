import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Device, FaultPort } from '../../../../src/device/index.js';
import { type Lease, VramManager, type WebGpuLease } from '../../../../src/manager/index.js';
import { bytesSource } from '../../../../src/source/index.js';
import { prepareVulkan, testWebGpuBackend } from '../../../support/vulkan.js';
import { failure, pattern, platform, wrapRegions } from '../fixture.js';

const { adapter } = await prepareVulkan();
const STORAGE = 0x80;
const COPY_SRC = 0x4;
const COPY_DST = 0x8;
const MAP_READ = 0x1;

/** Sums the leased words on the GPU, reading the leased memory itself. */
async function sumOnDevice(lease: WebGpuLease): Promise<number> {
  const { device } = lease;
  const code = `
    @group(0) @binding(0) var<storage, read> weights: array<u32>;
    @group(1) @binding(0) var<storage, read_write> sum: atomic<u32>;
    override first: u32; override count: u32;
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
      if (id.x < count) { atomicAdd(&sum, weights[first + id.x]); }
    }`;
  const own = device.createBindGroupLayout({
    entries: [{ binding: 0, visibility: 4, buffer: { type: 'storage' } }],
  });
  const sum = device.createBuffer({ size: 4, usage: STORAGE | COPY_SRC });
  const host = device.createBuffer({ size: 4, usage: COPY_DST | MAP_READ });
  const sumGroup = device.createBindGroup({
    layout: own,
    entries: [{ binding: 0, resource: { buffer: sum } }],
  });
  const layout = device.createPipelineLayout({ bindGroupLayouts: [lease.layout, own] });
  const module = device.createShaderModule({ code });
  const encoder = device.createCommandEncoder();
  for (const { group, byteOffset, byteLength } of lease.bindings()) {
    const constants = { first: byteOffset / 4, count: byteLength / 4 };
    const pass = encoder.beginComputePass();
    pass.setPipeline(device.createComputePipeline({ layout, compute: { module, constants } }));
    pass.setBindGroup(0, group);
    pass.setBindGroup(1, sumGroup);
    pass.dispatchWorkgroups(Math.ceil(byteLength / 4 / 64));
    pass.end();
  }
  encoder.copyBufferToBuffer(sum, 0, host, 0, 4);
  device.queue.submit([encoder.finish()]);
  await host.mapAsync(MAP_READ);
  const result = new Uint32Array(host.getMappedRange().slice(0))[0] ?? -1;
  for (const buffer of [sum, host]) buffer.destroy();
  return result;
}

function webgpu(lease: Lease): WebGpuLease {
  if (lease.kind !== 'webgpu') throw new Error('no WebGPU lease');
  return lease;
}

describe.skipIf(adapter === 'host')('leases on WebGPU (skipped without a WebGPU adapter)', () => {
  let device: Device;
  let manager: VramManager;
  const faults: FaultPort[] = [];

  beforeAll(async () => {
    const backend = await testWebGpuBackend();
    if (backend === null) throw new Error('unreachable');
    device = await backend.open(0, { drills: true });
    const watched = wrapRegions(device, (region) => {
      if (region.faults !== null) faults.push(region.faults);
      return region;
    });
    manager = await VramManager.open({ device: watched, workerId: 'w', policy: 'any' }, platform());
  });
  afterAll(async () => {
    await manager.close();
    await device.close();
  });

  it('compute on the leased memory itself: damage to it changes the answer, the end of the host copy does not', async () => {
    const bytes = pattern(200_000);
    const shard = await manager.seal(bytesSource(bytes));
    expect(shard.immutability).toBe('usage-locked');
    const words = new Uint32Array(bytes.slice().buffer);
    const expected = words.reduce((sum, word) => (sum + word) >>> 0, 0);
    bytes.fill(0);
    expect(await manager.execute(shard, (lease) => sumOnDevice(webgpu(lease)))).toBe(expected);
    await faults.at(-1)?.flip(4096, 1);
    const damaged = (words[1024] ?? 0) ^ 1;
    const shifted = (expected - (words[1024] ?? 0) + damaged) >>> 0;
    // Believing an old verification is the caller's own risk; a fresh one finds it.
    expect(await manager.execute(shard, (lease) => sumOnDevice(webgpu(lease)), { maxAgeMs: 600_000 })).toBe(
      shifted,
    );
    expect(await failure(manager.execute(shard, () => 0))).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
    await manager.release(shard);
  });

  it('write access and automatic layouts are refused by WebGPU, and there is nothing to copy from', async () => {
    const bytes = pattern(9000);
    const shard = await manager.seal(bytesSource(bytes));
    await manager.execute(
      shard,
      async (lease) => {
        const { device: gpu, layout, bindings } = webgpu(lease);
        const [first] = bindings();
        if (first === undefined) throw new Error('no group');
        const refused = async (work: () => void): Promise<string | undefined> => {
          gpu.pushErrorScope('validation');
          work();
          return (await gpu.popErrorScope())?.message;
        };
        const module = gpu.createShaderModule({
          code: `@group(0) @binding(0) var<storage, read_write> weights: array<u32>;
          @compute @workgroup_size(1) fn main() { weights[0] = 1u; }`,
        });
        const pipelineLayout = gpu.createPipelineLayout({ bindGroupLayouts: [layout] });
        expect(
          await refused(() => gpu.createComputePipeline({ layout: pipelineLayout, compute: { module } })),
        ).toBeDefined();
        const automatic = gpu.createComputePipeline({ layout: 'auto', compute: { module } });
        expect(
          await refused(() => {
            const encoder = gpu.createCommandEncoder();
            const pass = encoder.beginComputePass();
            pass.setPipeline(automatic);
            pass.setBindGroup(0, first.group);
            pass.dispatchWorkgroups(1);
            pass.end();
            gpu.queue.submit([encoder.finish()]);
          }),
        ).toBeDefined();
        // A bind group shows no buffer, and a copy takes nothing else.
        expect(Object.keys(first).sort()).toEqual(['byteLength', 'byteOffset', 'group']);
        expect(Object.values(first.group)).toEqual([]);
      },
      { recheck: true },
    );
    await manager.release(shard);
  });

  it('end with the callback', async () => {
    const shard = await manager.seal(bytesSource(pattern(100)));
    const kept = await manager.execute(shard, (lease) => webgpu(lease));
    expect(() => kept.bindings()).toThrow(expect.objectContaining({ code: 'NOT_FOUND' }));
    await manager.release(shard);
  });
});
