import { shaders } from '../../generated/shaders.js';
import { ShaderStage } from './constants.js';
import type { GpuContext } from './context.js';
import { type Sha256Variant, sha256Wgsl } from './sha256-wgsl.js';

/** Bytes of parameters that a dispatch is given. */
export const PARAMS_BYTES = 32;

/** The compiled shaders of a device and the layouts of what they are given. */
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

/** Compiles the shaders. Errors: DEVICE_UNAVAILABLE, DEVICE_LOST. */
export async function createKernels(
  context: GpuContext,
  variant: Sha256Variant,
  drills: boolean,
): Promise<Kernels> {
  const { device } = context;
  const purpose = { what: 'its shaders' };
  const { value, accepted } = context.guard(purpose, () => {
    const layout = (label: string, ...types: GPUBufferBindingType[]): GPUBindGroupLayout =>
      device.createBindGroupLayout({
        label,
        entries: types.map((type, binding) => ({
          binding,
          visibility: ShaderStage.COMPUTE,
          buffer:
            type === 'uniform' ? { type, hasDynamicOffset: true, minBindingSize: PARAMS_BYTES } : { type },
        })),
      });
    const layouts = {
      workLayout: layout('work', 'storage', 'storage', 'uniform'),
      sealedLayout: layout('sealed', 'read-only-storage'),
      fillLayout: layout('fill', 'storage', 'uniform'),
      copyLayout: layout('copy', 'read-only-storage', 'storage', 'uniform'),
    };
    const pipeline = (
      label: string,
      code: string,
      bindGroupLayouts: GPUBindGroupLayout[],
      constants: Record<string, number> = {},
    ): Promise<GPUComputePipeline> =>
      device.createComputePipelineAsync({
        label,
        layout: device.createPipelineLayout({ label, bindGroupLayouts }),
        compute: { module: device.createShaderModule({ label, code }), entryPoint: 'main', constants },
      });
    const tree = sha256Wgsl(variant) + shaders.work;
    const { workLayout, sealedLayout, fillLayout, copyLayout } = layouts;
    const pipelines = Promise.all([
      pipeline('leaves', tree + shaders.leaves, [workLayout, sealedLayout]),
      pipeline('nodes', tree + shaders.nodes, [workLayout]),
      pipeline('fill', shaders.fill, [fillLayout]),
      pipeline('copy', shaders.copy, [copyLayout]),
      drills ? pipeline('flip', shaders.copy, [copyLayout], { flip: 1 }) : null,
    ]);
    return { layouts, pipelines };
  });
  const [[leaves, nodes, fill, copy, flip]] = await Promise.all([
    context.wait(purpose, value.pipelines),
    accepted,
  ]);
  return { leaves, nodes, fill, copy, flip, ...value.layouts };
}
