import { invalidInput } from '../../base/index.js';
import { BufferUsage, PARAMS_STRIDE, WORKGROUP_SIZE } from './constants.js';
import type { GpuContext, Guarded, Purpose } from './context.js';
import { PARAMS_BYTES } from './kernels.js';

/** Limit of dispatches in one submission: the parameter sets that fit into the parameter buffer. */
export const MAX_DISPATCHES = 64;

/** Invocations in a row and rows of workgroups: a dimension ends at the device's limit, 65535 on most. */
export interface Grid {
  readonly columns: number;
  readonly rows: number;
  /** Invocations in one row. */
  readonly row: number;
}

/** Errors: INVALID_INPUT for more invocations than two dimensions hold. */
export function planGrid(invocations: number, maxWorkgroups: number): Grid {
  const workgroups = Math.ceil(invocations / WORKGROUP_SIZE);
  const rows = Math.ceil(workgroups / maxWorkgroups);
  if (rows > maxWorkgroups) throw invalidInput('invocations', 'exceed a two-dimensional dispatch');
  const columns = Math.ceil(workgroups / Math.max(rows, 1));
  return { columns, rows, row: columns * WORKGROUP_SIZE };
}

/** One dispatch. `params` gets the row length of the grid; its group 0 ends with the dynamic parameter binding. */
export interface Dispatch {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly second?: GPUBindGroup;
  readonly invocations: number;
  params(row: number): readonly number[];
}

export interface BufferCopy {
  readonly from: GPUBuffer;
  readonly fromOffset: number;
  readonly to: GPUBuffer;
  readonly toOffset: number;
  readonly byteLength: number;
}

/** Zeros the first `byteLength` bytes, a multiple of 4, of a buffer with usage COPY_DST. */
export interface BufferWipe {
  readonly buffer: GPUBuffer;
  readonly byteLength: number;
}

type Command =
  | { readonly dispatch: Dispatch }
  | { readonly copy: BufferCopy }
  | { readonly wipe: BufferWipe };

/** Encodes and submits commands, in order. The parameters of all dispatches share one buffer. */
export class Submitter {
  readonly params: GPUBuffer;
  readonly #context: GpuContext;
  readonly #maxWorkgroups: number;

  constructor(context: GpuContext) {
    this.#context = context;
    this.#maxWorkgroups = context.device.limits.maxComputeWorkgroupsPerDimension;
    this.params = context.device.createBuffer({
      label: 'params',
      size: MAX_DISPATCHES * PARAMS_STRIDE,
      usage: BufferUsage.UNIFORM | BufferUsage.COPY_DST,
    });
  }

  destroy(): void {
    this.params.destroy();
  }

  /** The binding of group 0 that carries the parameters. */
  get paramsBinding(): GPUBindingResource {
    return { buffer: this.params, offset: 0, size: PARAMS_BYTES };
  }

  /**
   * Everything that `build` adds runs in one submission; `build` may create bind groups, since it too runs inside the error
   * scopes.
   */
  submit(purpose: Purpose, build: (batch: Batch) => void): Guarded<void> {
    return this.#context.guard(purpose, () => {
      const batch = new Batch();
      build(batch);
      this.#encode(batch.commands);
    });
  }

  #encode(commands: readonly Command[]): void {
    const { device } = this.#context;
    const words = new Uint32Array((commands.length * PARAMS_STRIDE) / Uint32Array.BYTES_PER_ELEMENT);
    const encoder = device.createCommandEncoder();
    let pass: GPUComputePassEncoder | null = null;
    let slot = 0;
    for (const command of commands) {
      if (!('dispatch' in command)) {
        pass?.end();
        pass = null;
        if ('wipe' in command) encoder.clearBuffer(command.wipe.buffer, 0, command.wipe.byteLength);
        else {
          const { from, fromOffset, to, toOffset, byteLength } = command.copy;
          encoder.copyBufferToBuffer(from, fromOffset, to, toOffset, byteLength);
        }
        continue;
      }
      const { dispatch } = command;
      const { columns, rows, row } = planGrid(dispatch.invocations, this.#maxWorkgroups);
      const offset = slot++ * PARAMS_STRIDE;
      words.set(dispatch.params(row), offset / Uint32Array.BYTES_PER_ELEMENT);
      pass ??= encoder.beginComputePass();
      pass.setPipeline(dispatch.pipeline);
      pass.setBindGroup(0, dispatch.group, [offset]);
      if (dispatch.second !== undefined) pass.setBindGroup(1, dispatch.second);
      pass.dispatchWorkgroups(columns, rows);
    }
    pass?.end();
    if (slot > 0) {
      const used = (slot * PARAMS_STRIDE) / Uint32Array.BYTES_PER_ELEMENT;
      device.queue.writeBuffer(this.params, 0, words, 0, used);
    }
    device.queue.submit([encoder.finish()]);
  }
}

/** Commands of one submission, in order. */
export class Batch {
  readonly commands: Command[] = [];

  dispatch(dispatch: Dispatch): void {
    this.commands.push({ dispatch });
  }

  copy(copy: BufferCopy): void {
    this.commands.push({ copy });
  }

  wipe(wipe: BufferWipe): void {
    this.commands.push({ wipe });
  }
}
