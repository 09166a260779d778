import type { Access, SealedUse, WatchedTensor } from './ledger.js';

interface LayoutEntry {
  readonly type: GPUBufferBindingType;
  readonly dynamic: boolean;
}

type BindGroupLayout = ReadonlyMap<number, LayoutEntry>;

/** The GPU objects whose creation the witness has observed. */
export class Bindings {
  readonly #watched = new WeakMap<object, WatchedTensor>();
  readonly #layouts = new WeakMap<GPUBindGroupLayout, BindGroupLayout>();
  readonly #pipelineLayouts = new WeakMap<GPUPipelineLayout, number>();
  readonly #pipelines = new WeakMap<GPUComputePipeline, number>();
  readonly #groups = new WeakMap<object, readonly SealedUse[]>();

  /** Returns the same tensor object for the same buffer. */
  watch(buffer: GPUBuffer, tensor: WatchedTensor): WatchedTensor {
    const known = this.#watched.get(buffer);
    if (known !== undefined) return known;
    this.#watched.set(buffer, tensor);
    return tensor;
  }

  layoutMade(layout: GPUBindGroupLayout, { entries }: GPUBindGroupLayoutDescriptor): void {
    const known = new Map<number, LayoutEntry>();
    for (const { binding, buffer } of entries) {
      if (buffer === undefined) continue;
      known.set(binding, { type: buffer.type ?? 'uniform', dynamic: buffer.hasDynamicOffset === true });
    }
    this.#layouts.set(layout, known);
  }

  pipelineLayoutMade(layout: GPUPipelineLayout, groups: number): void {
    this.#pipelineLayouts.set(layout, groups);
  }

  pipelineMade(pipeline: GPUComputePipeline, layout: GPUPipelineLayout | 'auto'): void {
    const groups = layout === 'auto' ? undefined : this.#pipelineLayouts.get(layout);
    if (groups !== undefined) this.#pipelines.set(pipeline, groups);
  }

  groupMade(group: GPUBindGroup, { layout, entries }: GPUBindGroupDescriptor): void {
    const known = this.#layouts.get(layout);
    const uses: SealedUse[] = [];
    for (const { binding, resource } of entries) {
      const range = bufferIn(resource);
      const tensor = this.#watched.get(range.buffer);
      if (tensor === undefined) continue;
      const { start, end } = boundRange(range);
      uses.push({ tensor, access: accessOf(known?.get(binding)), start, end });
    }
    this.#groups.set(group, uses);
  }

  /**
   * The bind groups that a dispatch reads: those in its pipeline's layout. For a pipeline whose layout was not
   * observed, all groups count, as unknown.
   */
  usesOf(
    pipeline: GPUComputePipeline | null,
    groups: ReadonlyMap<number, GPUBindGroup>,
  ): readonly SealedUse[] {
    const places = pipeline === null ? undefined : this.#pipelines.get(pipeline);
    return [...groups].flatMap(([index, group]) => {
      if (places !== undefined && index >= places) return [];
      const uses = this.#groups.get(group) ?? [];
      return places === undefined ? uses.map((use) => ({ ...use, access: 'unknown' as const })) : uses;
    });
  }

  /** The sealed memory of a bind group. */
  usesIn(group: object): readonly SealedUse[] {
    return this.#groups.get(group) ?? [];
  }

  /** Sealed buffers among the arguments of a call that is not a binding, also inside descriptors. */
  copiesIn(args: readonly unknown[]): readonly SealedUse[] {
    return args.flatMap((argument) => {
      if (typeof argument !== 'object' || argument === null) return [];
      const inside = 'buffer' in argument && typeof argument.buffer === 'object' ? argument.buffer : null;
      return [argument, inside].flatMap((each) => {
        const tensor = each === null ? undefined : this.#watched.get(each);
        return tensor === undefined ? [] : [{ tensor, access: 'copy' as const, start: 0, end: 0 }];
      });
    });
  }
}

interface BoundBuffer {
  readonly buffer: object;
  readonly offset: number;
  readonly size: number | undefined;
}

/** A buffer may be bound as `{ buffer, offset, size }` or, in newer browsers, by itself. */
function bufferIn(resource: GPUBindingResource): BoundBuffer {
  if ('buffer' in resource) {
    const { buffer, offset = 0, size } = resource;
    return { buffer, offset, size };
  }
  return { buffer: resource, offset: 0, size: undefined };
}

function boundRange({ buffer, offset, size }: BoundBuffer): { start: number; end: number } {
  const whole = 'size' in buffer && typeof buffer.size === 'number' ? buffer.size : 0;
  return { start: offset, end: size === undefined ? whole : offset + size };
}

function accessOf(entry: LayoutEntry | undefined): Access {
  if (entry === undefined || entry.dynamic) return 'unknown';
  return entry.type === 'read-only-storage' ? 'readOnly' : 'readWrite';
}
