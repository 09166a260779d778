import type { Bindings } from './bindings.js';
import type { SealedUse } from './ledger.js';
import { proxied } from './proxied.js';

/** Records what the commands of one encoder do with sealed memory; `finished` gets it together with the command buffer. */
export function recordingEncoder(
  encoder: GPUCommandEncoder,
  bindings: Bindings,
  finished: (commands: GPUCommandBuffer, uses: readonly SealedUse[]) => void,
): GPUCommandEncoder {
  const uses: SealedUse[] = [];
  const add = (more: readonly SealedUse[]): void => {
    uses.push(...more);
  };
  return proxied(
    encoder,
    {
      beginComputePass: (descriptor) => recordingPass(encoder.beginComputePass(descriptor), bindings, add),
      beginRenderPass: (descriptor) => watchedGroups(encoder.beginRenderPass(descriptor), bindings, add),
      finish: (descriptor) => {
        const commands = encoder.finish(descriptor);
        finished(commands, uses);
        return commands;
      },
    },
    { called: (_, args) => add(bindings.copiesIn(args)) },
  );
}

function recordingPass(
  pass: GPUComputePassEncoder,
  bindings: Bindings,
  add: (uses: readonly SealedUse[]) => void,
): GPUComputePassEncoder {
  let pipeline: GPUComputePipeline | null = null;
  const groups = new Map<number, GPUBindGroup>();
  return proxied(pass, {
    setPipeline: (next) => {
      pipeline = next;
      pass.setPipeline(next);
    },
    setBindGroup: (index: number, group: GPUBindGroup | null | undefined, ...rest: readonly unknown[]) => {
      if (group) groups.set(index, group);
      else groups.delete(index);
      Reflect.apply(pass.setBindGroup, pass, [index, group, ...rest]);
    },
    dispatchWorkgroups: (x, y = 1, z = 1) => {
      const reads = bindings.usesOf(pipeline, groups);
      // A dispatch of no workgroups reads nothing.
      add(x * y * z > 0 ? reads : reads.filter(({ access }) => access !== 'readOnly'));
      pass.dispatchWorkgroups(x, y, z);
    },
    dispatchWorkgroupsIndirect: (buffer, offset) => {
      // The host cannot see the number of workgroups: this is not evidence of a read.
      add(bindings.usesOf(pipeline, groups).filter(({ access }) => access !== 'readOnly'));
      add(bindings.copiesIn([buffer]));
      pass.dispatchWorkgroupsIndirect(buffer, offset);
    },
  });
}

/** Engines do not compute by rendering: how a render pass reads sealed memory cannot be judged here. */
export function watchedGroups<T extends GPUBindingCommandsMixin>(
  encoder: T,
  bindings: Bindings,
  add: (uses: readonly SealedUse[]) => void,
): T {
  const called = (method: string, args: readonly unknown[]): void => {
    add(bindings.copiesIn(args));
    const group = method === 'setBindGroup' ? args[1] : undefined;
    if (typeof group !== 'object' || group === null) return;
    add(bindings.usesIn(group).map((use) => ({ ...use, access: 'unknown' as const })));
  };
  return proxied(encoder, {}, { called });
}
