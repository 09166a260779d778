import { createHash } from 'node:crypto';
import { prepareVulkan } from './vulkan.js';

// Dawn's instances have to stay referenced as long as their devices.
const instances: GPU[] = [];

/** A bare GPUDevice of the adapter chosen for tests, with its largest buffers: for tests that look behind the library. */
export async function requestGpuDevice(): Promise<GPUDevice> {
  await prepareVulkan();
  const { create } = await import('webgpu');
  const gpu = create([]);
  instances.push(gpu);
  const adapter = await gpu.requestAdapter();
  if (adapter === null) throw new Error('no WebGPU adapter');
  const { maxBufferSize, maxStorageBufferBindingSize } = adapter.limits;
  return await adapter.requestDevice({ requiredLimits: { maxBufferSize, maxStorageBufferBindingSize } });
}

/** The device seems to have smaller limits. */
export function lowerLimits(
  device: GPUDevice,
  lower: Partial<Record<keyof GPUSupportedLimits, number>>,
): void {
  const { limits } = device;
  const { minStorageBufferOffsetAlignment, maxBufferSize, maxStorageBufferBindingSize } = limits;
  const { maxComputeWorkgroupsPerDimension } = limits;
  const lowered = {
    minStorageBufferOffsetAlignment,
    maxBufferSize,
    maxStorageBufferBindingSize,
    maxComputeWorkgroupsPerDimension,
    ...lower,
  };
  Object.defineProperty(device, 'limits', { value: lowered });
}

/** Every buffer with this label that is made from now on. */
export function captureBuffers(device: GPUDevice, label: string): GPUBuffer[] {
  const captured: GPUBuffer[] = [];
  const createBuffer = device.createBuffer.bind(device);
  device.createBuffer = (descriptor) => {
    const buffer = createBuffer(descriptor);
    if (descriptor.label === label) captured.push(buffer);
    return buffer;
  };
  return captured;
}

/** What may be changed on the way to the device: null leaves the command out. */
export interface Interception {
  dispatch?(pipeline: string, x: number, y: number): readonly [number, number] | null;
  /** Asked before a buffer copy: false leaves it out. */
  copies?(from: string, to: string): boolean;
}

/** Passes every dispatch and buffer copy by the interception, as a faulty driver would. */
export function intercept(device: GPUDevice, interception: Interception): void {
  const createCommandEncoder = device.createCommandEncoder.bind(device);
  device.createCommandEncoder = (descriptor) => {
    const encoder = createCommandEncoder(descriptor);
    const beginComputePass = encoder.beginComputePass.bind(encoder);
    encoder.beginComputePass = (passDescriptor) => {
      const pass = beginComputePass(passDescriptor);
      const setPipeline = pass.setPipeline.bind(pass);
      const dispatchWorkgroups = pass.dispatchWorkgroups.bind(pass);
      let pipeline = '';
      pass.setPipeline = (next) => {
        pipeline = next.label;
        setPipeline(next);
      };
      pass.dispatchWorkgroups = (x, y = 1) => {
        const grid =
          interception.dispatch === undefined ? ([x, y] as const) : interception.dispatch(pipeline, x, y);
        if (grid !== null) dispatchWorkgroups(...grid);
      };
      return pass;
    };
    const copy = encoder.copyBufferToBuffer.bind(encoder);
    const copyIntercepted = (
      from: GPUBuffer,
      fromOffset: number,
      to: GPUBuffer,
      toOffset: number,
      size: number,
    ): void => {
      if (interception.copies?.(from.label, to.label) === false) return;
      copy(from, fromOffset, to, toOffset, size);
    };
    Object.defineProperty(encoder, 'copyBufferToBuffer', { value: copyIntercepted });
    return encoder;
  };
}

/** Bytes of a STORAGE-only buffer, through a pipeline of the test's own. */
export async function lookInside(
  device: GPUDevice,
  buffer: GPUBuffer,
  byteLength: number,
): Promise<Uint8Array> {
  const code = `
    @group(0) @binding(0) var<storage, read_write> inside: array<u32>;
    @group(0) @binding(1) var<storage, read_write> seen: array<u32>;
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>,
      @builtin(num_workgroups) groups: vec3<u32>) {
      let index = id.y * groups.x * 64u + id.x;
      if (index < arrayLength(&seen)) { seen[index] = inside[index]; }
    }`;
  const pipeline = await device.createComputePipelineAsync({
    layout: 'auto',
    compute: { module: device.createShaderModule({ code }) },
  });
  const STORAGE_COPY_SRC = 0x84;
  const MAP_READ_COPY_DST = 0x9;
  const seen = device.createBuffer({ size: byteLength, usage: STORAGE_COPY_SRC });
  const host = device.createBuffer({ size: byteLength, usage: MAP_READ_COPY_DST });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  const entries = [buffer, seen].map((each, binding) => ({ binding, resource: { buffer: each } }));
  pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
  pass.dispatchWorkgroups(256, Math.ceil(byteLength / 4 / 64 / 256));
  pass.end();
  encoder.copyBufferToBuffer(seen, 0, host, 0, byteLength);
  device.queue.submit([encoder.finish()]);
  await host.mapAsync(0x1);
  const bytes = new Uint8Array(host.getMappedRange()).slice();
  seen.destroy();
  host.destroy();
  return bytes;
}

/** The whole fs-verity tree by node:crypto, leaves first. */
export function cryptoTree(bytes: Uint8Array): Uint8Array[] {
  const levels = [hashBlocks(bytes)];
  for (let level = levels[0]; level !== undefined && level.length > 32; level = levels.at(-1)) {
    levels.push(hashBlocks(level));
  }
  return levels;
}

export function cryptoRoot(bytes: Uint8Array): Uint8Array {
  return cryptoTree(bytes).at(-1) ?? new Uint8Array(32);
}

function hashBlocks(bytes: Uint8Array): Uint8Array {
  const blocks = Math.ceil(bytes.length / 4096);
  const hashes = new Uint8Array(blocks * 32);
  for (let i = 0; i < blocks; i++) {
    const block = new Uint8Array(4096);
    block.set(bytes.subarray(i * 4096, (i + 1) * 4096));
    hashes.set(createHash('sha256').update(block).digest(), i * 32);
  }
  return hashes;
}
