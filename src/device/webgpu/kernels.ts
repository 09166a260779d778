import { shaders } from '../../generated/shaders.js';
import { ShaderStage } from './constants.js';
import type { GpuContext } from './context.js';
import { type Sha256Variant, sha256Wgsl } from './sha256-wgsl.js';

/** Bytes of a dispatch's parameters. */
export const PARAMS_BYTES = 64;
/** Buffers that one dispatch of scattered leaves hashes (scattered.wgsl). */
export const SCATTERED_BUFFERS = 6;

/** The compiled shaders of a device and their bind group layouts. */
export interface Kernels {
  readonly leaves: GPUComputePipeline;
  readonly nodes: GPUComputePipeline;
  readonly fill: GPUComputePipeline;
  readonly copy: GPUComputePipeline;
  /** Exclusive-or instead of replacement; on devices opened for drills. */
  readonly flip: GPUComputePipeline | null;
  /** Scratch, state, parameters. */
  readonly workLayout: GPUBindGroupLayout;
  /** One read-only storage buffer: sealed memory, for the tree and for leases. */
  readonly sealedLayout: GPUBindGroupLayout;
  /** Memory, parameters. */
  readonly fillLayout: GPUBindGroupLayout;
  /** Source, target, parameters. */
  readonly copyLayout: GPUBindGroupLayout;
}

/** Leaves in several buffers at once: the shader and the layout of those. */
export interface ScatteredLeaves {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

/** Compiles the shaders that every device needs. Errors: DEVICE_UNAVAILABLE, DEVICE_LOST. */
export async function createKernels(
  context: GpuContext,
  variant: Sha256Variant,
  drills: boolean,
): Promise<Kernels> {
  const { device } = context;
  const purpose = { what: 'its shaders' };
  const { value, accepted } = context.guard(purpose, () => {
    const layouts = {
      workLayout: bindings(device, 'work', 'storage', 'storage', 'uniform'),
      sealedLayout: bindings(device, 'sealed', 'read-only-storage'),
      fillLayout: bindings(device, 'fill', 'storage', 'uniform'),
      copyLayout: bindings(device, 'copy', 'read-only-storage', 'storage', 'uniform'),
    };
    const tree = sha256Wgsl(variant) + shaders.work;
    const { workLayout, sealedLayout, fillLayout, copyLayout } = layouts;
    const pipelines = Promise.all([
      compile(device, 'leaves', tree + shaders.leaves, [workLayout, sealedLayout]),
      compile(device, 'nodes', tree + shaders.nodes, [workLayout]),
      compile(device, 'fill', shaders.fill, [fillLayout]),
      compile(device, 'copy', shaders.copy, [copyLayout]),
      drills ? compile(device, 'flip', shaders.copy, [copyLayout], { flip: 1 }) : null,
    ]);
    return { layouts, pipelines };
  });
  const [[leaves, nodes, fill, copy, flip]] = await Promise.all([
    context.wait(purpose, value.pipelines),
    accepted,
  ]);
  return { leaves, nodes, fill, copy, flip, ...value.layouts };
}

/** Compiles the shader for leaves in several buffers. Errors: DEVICE_UNAVAILABLE, DEVICE_LOST. */
export async function createScatteredLeaves(
  context: GpuContext,
  { workLayout }: Kernels,
  variant: Sha256Variant,
): Promise<ScatteredLeaves> {
  const { device } = context;
  const purpose = { what: 'the shader for leaves in several buffers' };
  const { value, accepted } = context.guard(purpose, () => {
    const types = Array.from({ length: SCATTERED_BUFFERS }, () => 'read-only-storage' as const);
    const layout = bindings(device, 'scattered', ...types);
    const code = sha256Wgsl(variant) + shaders.work + shaders.scattered;
    return { layout, pipeline: compile(device, 'scattered leaves', code, [workLayout, layout]) };
  });
  const [pipeline] = await Promise.all([context.wait(purpose, value.pipeline), accepted]);
  return { pipeline, layout: value.layout };
}

function bindings(device: GPUDevice, label: string, ...types: GPUBufferBindingType[]): GPUBindGroupLayout {
  return device.createBindGroupLayout({
    label,
    entries: types.map((type, binding) => ({
      binding,
      visibility: ShaderStage.COMPUTE,
      buffer: type === 'uniform' ? { type, hasDynamicOffset: true, minBindingSize: PARAMS_BYTES } : { type },
    })),
  });
}

function compile(
  device: GPUDevice,
  label: string,
  code: string,
  bindGroupLayouts: GPUBindGroupLayout[],
  constants: Record<string, number> = {},
): Promise<GPUComputePipeline> {
  return device.createComputePipelineAsync({
    label,
    layout: device.createPipelineLayout({ label, bindGroupLayouts }),
    compute: { module: device.createShaderModule({ label, code }), entryPoint: 'main', constants },
  });
}
