import type { VramManager } from '../../manager/index.js';
import { type EventLog, failureOf } from '../common/index.js';
import { type Generation, load, type ModelTable, release, type ShardWatch } from '../models/index.js';
import type { OnnxHost } from '../onnx/index.js';
import type { Scrubbing } from './scrubbing.js';
import type { Sharing } from './worker-options.js';

type Draft = Parameters<EventLog['append']>[0];

export interface LoadingParts {
  readonly manager: VramManager;
  readonly table: ModelTable;
  readonly watch: ShardWatch;
  readonly share: Sharing | null;
  readonly onnx: OnnxHost | null;
  readonly scrubbing: Scrubbing;
  /** Appends an event about a model. */
  readonly emit: (
    type: Draft['type'],
    model: { readonly name: string; readonly number: number | null },
    data: Draft['data'],
  ) => void;
  /** The worker's state may have changed. */
  readonly noteState: () => void;
  /** Registers work that close() waits for. */
  readonly inBackground: (work: Promise<void>) => void;
}

/** The life of a model's generation: loaded, put in place of its predecessor, wiped. */
export class Loading {
  readonly #parts: LoadingParts;

  constructor(parts: LoadingParts) {
    this.#parts = parts;
  }

  /** Never rejects. */
  async load(generation: Generation): Promise<void> {
    this.#parts.emit('model.loading', generation, { byteLength: generation.source.byteLength });
    try {
      const tools = { manager: this.#parts.manager, onnx: this.#parts.onnx };
      const verified = await load(tools, generation, (bytes) => this.#progress(generation, bytes));
      const replaced = await this.#promote(generation);
      this.#parts.emit('model.ready', generation, { shards: generation.shards.length });
      this.#parts.noteState();
      if (verified !== null)
        this.#parts.inBackground(this.#parts.scrubbing.measured(verified.byteLength, verified.durationMs));
      if (replaced !== null) this.#parts.inBackground(this.leave(replaced, 'model.replaced'));
    } catch (error) {
      generation.state = 'failed';
      generation.failure = failureOf(error);
      this.#parts.table.gone(generation);
      this.#parts.emit('model.failed', generation, { ...generation.failure });
    }
  }

  /** Errors: ABORTED for a model that was deleted meanwhile, which is then wiped. */
  async #promote(generation: Generation): Promise<Generation | null> {
    const { name, options, shards } = generation;
    const { share } = this.#parts;
    try {
      // A generation that could not be offered must not serve.
      const sealed = shards.map((shard) => shard.sealed);
      if (options.share) share?.offer(name, sealed);
      const replaced = this.#parts.table.promote(generation);
      if (!options.share) share?.withdraw(name);
      return replaced;
    } catch (error) {
      if (options.share) share?.withdraw(name);
      await release(this.#parts.manager, generation.shards.splice(0));
      throw error;
    }
  }

  #progress(generation: Generation, bytes: number): void {
    const { totalBytes } = generation.progress;
    const tenth = (count: number): number => Math.floor((count * 10) / totalBytes);
    const passed = tenth(bytes) > tenth(generation.progress.bytes);
    generation.progress = { bytes, totalBytes };
    if (passed) this.#parts.emit('model.progress', generation, { bytes, totalBytes });
  }

  /** Waits until a replaced or deleted generation has no users, then wipes it. Errors: RELEASE_FAILED. */
  async leave(generation: Generation, type: 'model.replaced' | 'model.released'): Promise<void> {
    await generation.unused();
    const shards = generation.shards.splice(0);
    const failure = await release(this.#parts.manager, shards);
    for (const { sealed } of shards) this.#parts.watch.forget(sealed.sealId);
    this.#parts.table.gone(generation);
    this.#parts.emit(type, generation, failure === null ? {} : { ...failureOf(failure) });
    if (failure !== null) throw failure;
  }
}
