import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  EngineView,
  type Ledger,
  type WatchedTensor,
} from '../../../../src/engines/onnxruntime/witness/index.js';
import { prepareVulkan } from '../../../support/vulkan.js';
import { lookInside, requestGpuDevice } from '../../../support/vulkan-device.js';

const { adapter } = await prepareVulkan();
const STORAGE = 0x80;
const COPY_SRC = 0x4;
const COPY_DST = 0x8;
const COMPUTE = 0x4;
const BYTES = 4096;
/** Doubles what lies at binding 0 into binding 1. */
const READ = `
  @group(0) @binding(0) var<storage, read> weights: array<u32>;
  @group(0) @binding(1) var<storage, read_write> result: array<u32>;
  @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < arrayLength(&result)) { result[id.x] = 2u * weights[id.x]; }
  }`;
const WRITE = `
  @group(0) @binding(0) var<storage, read_write> weights: array<u32>;
  @group(0) @binding(1) var<storage, read_write> result: array<u32>;
  @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    weights[id.x] = 7u;
    result[id.x] = weights[id.x];
  }`;

describe.skipIf(adapter === 'host')('the witness (skipped without a WebGPU adapter)', () => {
  let gpu: GPUDevice;
  let view: EngineView;
  let sealed: GPUBuffer;
  let result: GPUBuffer;
  const tensor: WatchedTensor = { name: 'w', byteLength: BYTES };
  const uncaptured: string[] = [];

  beforeAll(async () => {
    gpu = await requestGpuDevice();
    gpu.onuncapturederror = ({ error }) => uncaptured.push(error.message);
  });

  beforeEach(() => {
    view = new EngineView(gpu);
    sealed = gpu.createBuffer({ size: BYTES, usage: STORAGE, mappedAtCreation: true });
    new Uint32Array(sealed.getMappedRange()).fill(21);
    sealed.unmap();
    result = gpu.createBuffer({ size: BYTES, usage: STORAGE | COPY_SRC | COPY_DST });
    view.watch(sealed, tensor);
    uncaptured.length = 0;
  });

  afterAll(() => gpu?.destroy());

  const layoutOf = (type: GPUBufferBindingType, device = view.device): GPUBindGroupLayout =>
    device.createBindGroupLayout({
      entries: [
        { binding: 0, visibility: COMPUTE, buffer: { type } },
        { binding: 1, visibility: COMPUTE, buffer: { type: 'storage' } },
      ],
    });

  const groupOf = (
    layout: GPUBindGroupLayout,
    weights: GPUBindingResource = { buffer: sealed },
  ): GPUBindGroup =>
    view.device.createBindGroup({
      layout,
      entries: [
        { binding: 0, resource: weights },
        { binding: 1, resource: { buffer: result } },
      ],
    });

  const pipelineOf = (
    layout: GPUBindGroupLayout | 'auto',
    code: string,
    device = view.device,
  ): GPUComputePipeline =>
    device.createComputePipeline({
      layout: layout === 'auto' ? layout : device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module: device.createShaderModule({ code }) },
    });

  /** Submits one compute pass that the test records; gives the ledger once the device has answered. */
  const submitted = async (record: (pass: GPUComputePassEncoder) => void): Promise<Ledger> => {
    const encoder = view.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    record(pass);
    pass.end();
    view.device.queue.submit([encoder.finish()]);
    return await taken();
  };

  const taken = async (): Promise<Ledger> => {
    await view.settled();
    return view.takeLedger();
  };

  it('[EN-001] counts what dispatches read, once for each', async () => {
    const layout = layoutOf('read-only-storage');
    const ledger = await submitted((pass) => {
      pass.setPipeline(pipelineOf(layout, READ));
      pass.setBindGroup(0, groupOf(layout));
      pass.dispatchWorkgroups(16);
      pass.dispatchWorkgroups(16);
    });
    expect(ledger.counts()).toEqual({
      binds: 2,
      readOnly: 2,
      readWrite: 0,
      unknown: 0,
      copies: 0,
      tensors: 1,
    });
    expect([ledger.isBound(tensor), ledger.offence, ledger.refusedSubmits]).toEqual([true, null, 0]);
    expect(new Uint32Array((await lookInside(gpu, result, BYTES)).buffer)[5]).toBe(42);
  });

  it.each<[string, (pass: GPUComputePassEncoder, group: GPUBindGroup) => void]>([
    ['a group that no pass sets', () => undefined],
    ['a group that is set, but never dispatched', (pass, group) => pass.setBindGroup(0, group)],
    [
      'a dispatch of no workgroups',
      (pass, group) => {
        pass.setBindGroup(0, group);
        pass.dispatchWorkgroups(16, 0);
      },
    ],
  ])('[EN-001] counts nothing for %s', async (_, record) => {
    const layout = layoutOf('read-only-storage');
    const group = groupOf(layout);
    const pipeline = pipelineOf(layout, READ);
    const ledger = await submitted((pass) => {
      pass.setPipeline(pipeline);
      record(pass, group);
    });
    expect(ledger.counts()).toMatchObject({ binds: 0, tensors: 0 });
    expect(ledger.isBound(tensor)).toBe(false);
  });

  it('[EN-001] counts nothing for commands that are not submitted, or that the device refuses', async () => {
    const layout = layoutOf('read-only-storage');
    const record = (weights: GPUBindGroup): GPUCommandBuffer => {
      const encoder = view.device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipelineOf(layout, READ));
      pass.setBindGroup(0, weights);
      pass.dispatchWorkgroups(16);
      pass.end();
      return encoder.finish();
    };
    record(groupOf(layout));
    expect((await taken()).counts().binds).toBe(0);
    const commands = record(groupOf(layout));
    result.destroy();
    view.device.queue.submit([commands]);
    const ledger = await taken();
    expect([ledger.counts().binds, ledger.refusedSubmits]).toEqual([0, 1]);
  });

  it('[EN-001] counts nothing for a group in a place that the pipeline does not have', async () => {
    const layout = layoutOf('read-only-storage');
    const other = gpu.createBuffer({ size: BYTES, usage: STORAGE });
    const ledger = await submitted((pass) => {
      pass.setPipeline(pipelineOf(layout, READ));
      pass.setBindGroup(0, groupOf(layout, { buffer: other }));
      pass.setBindGroup(1, groupOf(layout));
      pass.dispatchWorkgroups(16);
    });
    expect(ledger.counts().binds).toBe(0);
  });

  it('[EN-001] takes a tensor for bound only where all its bytes were', async () => {
    const layout = layoutOf('read-only-storage');
    const half = BYTES / 2;
    const last = { buffer: sealed, offset: half, size: half };
    const first = { buffer: sealed, size: half };
    const cut = { buffer: sealed, size: half - 256 };
    const bound: boolean[] = [];
    for (const parts of [[last], [first], [last, cut], [last, cut, first]]) {
      const ledger = await submitted((pass) => {
        pass.setPipeline(pipelineOf(layout, READ));
        for (const part of parts) {
          pass.setBindGroup(0, groupOf(layout, part));
          pass.dispatchWorkgroups(16);
        }
      });
      bound.push(ledger.isBound(tensor));
    }
    expect(bound).toEqual([false, false, false, true]);
  });

  it('[EN-002] keeps a writable binding from the device', async () => {
    const layout = layoutOf('storage');
    const ledger = await submitted((pass) => {
      pass.setPipeline(pipelineOf(layout, WRITE));
      pass.setBindGroup(0, groupOf(layout));
      pass.dispatchWorkgroups(16);
    });
    expect(ledger.counts()).toMatchObject({ readOnly: 0, readWrite: 1, tensors: 0 });
    expect(ledger.offence).toMatchObject({ tensor, access: 'readWrite' });
    expect(new Uint32Array((await lookInside(gpu, sealed, BYTES)).buffer)[0]).toBe(21);
  });

  it('[EN-002] cannot judge an automatic layout, and keeps what uses it from the device', async () => {
    const pipeline = pipelineOf('auto', READ);
    const ledger = await submitted((pass) => {
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, groupOf(pipeline.getBindGroupLayout(0)));
      pass.dispatchWorkgroups(16);
    });
    expect(ledger.offence).toMatchObject({ tensor, access: 'unknown' });
    expect(new Uint32Array((await lookInside(gpu, result, BYTES)).buffer)[0]).toBe(0);
  });

  it('[EN-002] cannot judge a layout, or a pipeline, that was made behind its back', async () => {
    const hidden = layoutOf('read-only-storage', gpu);
    const known = layoutOf('read-only-storage');
    const cases: [GPUBindGroupLayout, GPUComputePipeline][] = [
      [hidden, pipelineOf(hidden, READ)],
      [known, pipelineOf(known, READ, gpu)],
    ];
    for (const [layout, pipeline] of cases) {
      const ledger = await submitted((pass) => {
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, groupOf(layout));
        pass.dispatchWorkgroups(16);
      });
      expect(ledger.counts()).toMatchObject({ readOnly: 0, unknown: 1 });
    }
  });

  it.each<[string, (encoder: GPUCommandEncoder) => void]>([
    ['a copy out of', (encoder) => encoder.copyBufferToBuffer(sealed, 0, result, 0, 64)],
    ['a copy into', (encoder) => encoder.copyBufferToBuffer(result, 0, sealed, 0, 64)],
    ['clearing', (encoder) => encoder.clearBuffer(sealed)],
  ])('[EN-002] keeps %s sealed memory from the device', async (_, record) => {
    const encoder = view.device.createCommandEncoder();
    record(encoder);
    // The device would refuse it too, for its usage; what counts is that it was tried.
    gpu.pushErrorScope('validation');
    const commands = encoder.finish();
    await gpu.popErrorScope();
    view.device.queue.submit([commands]);
    const ledger = await taken();
    expect(ledger.counts().copies).toBe(1);
    expect(ledger.offence).toMatchObject({ tensor, access: 'copy' });
    expect(uncaptured).toEqual([]);
  });

  it('[EN-002] keeps an upload into sealed memory from the device', async () => {
    view.device.queue.writeBuffer(sealed, 0, new Uint8Array(64));
    expect((await taken()).counts().copies).toBe(1);
    expect(uncaptured).toEqual([]);
  });

  it('uploads from shared memory, with offset and size in elements', async () => {
    const shared = new Uint16Array(new SharedArrayBuffer(32));
    shared.set([1, 2, 3, 4, 5, 6]);
    view.device.queue.writeBuffer(result, 0, shared, 2, 4);
    expect([...new Uint16Array((await lookInside(gpu, result, 16)).buffer)].slice(0, 5)).toEqual([
      3, 4, 5, 6, 0,
    ]);
    const plain = Uint32Array.of(9, 8, 7);
    view.device.queue.writeBuffer(result, 0, plain, 1);
    expect([...new Uint32Array((await lookInside(gpu, result, 16)).buffer)].slice(0, 2)).toEqual([8, 7]);
  });

  it('passes for the device, which it cannot end, and leaves its properties alone', async () => {
    expect(view.device).not.toBe(gpu);
    expect(view.device).toBeInstanceOf(gpu.constructor);
    const handler = gpu.onuncapturederror;
    view.device.onuncapturederror = null;
    view.device.destroy();
    expect(gpu.onuncapturederror).toBe(handler);
    expect((await lookInside(gpu, sealed, 16)).length).toBe(16);
    expect(new EngineView(gpu).taken).toBe(false);
    expect(view.taken).toBe(true);
  });
});
