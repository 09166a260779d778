import type { FailureView, LoadProgress, ModelPart } from '../../api-schema/index.js';
import type { SealedShard } from '../../seal/index.js';
import type { OnnxModel } from '../onnx/index.js';
import type { CommitOptions } from './commit-options.js';
import type { LoadWatch } from './load-watch.js';
import type { SourceModel, SourceShard } from './source-model.js';

/** A shard of a model in device memory, and where its bytes came from. */
export interface LoadedShard {
  readonly sealed: SealedShard;
  readonly from: SourceShard;
  /** Of an ONNX model that can compute on its sealed weights. */
  readonly onnx: OnnxModel | null;
}

/** The result of one commit of a name. Its model never changes: the next commit makes a new generation. */
export class Generation {
  readonly name: string;
  /** From 1. */
  readonly number: number;
  readonly source: SourceModel;
  readonly options: CommitOptions;
  /** Device bytes that it takes or will take, as planned. */
  readonly plannedBytes: number;
  readonly watch: LoadWatch;
  /** Grows while it is loaded. */
  readonly shards: LoadedShard[] = [];
  state: 'loading' | 'resident' | 'failed' | 'releasing' = 'loading';
  progress: LoadProgress;
  failure: FailureView | null = null;
  /** Settles with the load; never rejects. */
  loaded: Promise<void> = Promise.resolve();
  readonly #idle = new Set<() => void>();
  #uses = 0;

  constructor(
    name: string,
    number: number,
    source: SourceModel,
    options: CommitOptions,
    plannedBytes: number,
    watch: LoadWatch,
  ) {
    this.name = name;
    this.number = number;
    this.source = source;
    this.options = options;
    this.plannedBytes = plannedBytes;
    this.watch = watch;
    this.progress = { bytes: 0, totalBytes: source.byteLength };
  }

  get part(): ModelPart | null {
    return this.options.part;
  }

  /** The engine session over it in this process; null if there is none. */
  get onnx(): OnnxModel | null {
    return this.shards[0]?.onnx ?? null;
  }

  /** Its name in seals and records. Two generations coexist while one replaces the other. */
  get modelRef(): string {
    return `${this.name}@${this.number}`;
  }

  /** Keeps it resident while `work` runs. */
  async use<T>(work: () => Promise<T>): Promise<T> {
    this.#uses += 1;
    try {
      return await work();
    } finally {
      this.#uses -= 1;
      if (this.#uses === 0) for (const wake of [...this.#idle]) wake();
    }
  }

  /** Resolves once it has no users. */
  async unused(): Promise<void> {
    while (this.#uses > 0) {
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#idle.delete(wake);
          resolve();
        };
        this.#idle.add(wake);
      });
    }
  }
}
