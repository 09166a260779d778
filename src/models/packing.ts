import { checkInteger, checkLabel, checkOptions, invalidInput, type OptionKeys } from '../base/index.js';
import type { Source } from '../source/index.js';
import { safetensorsDtype } from './dtypes.js';
import { refusalOf, tensorCalled } from './refusal.js';
import {
  MANIFEST_LIMITS,
  type PackedFile,
  type PackedTensor,
  paddedLength,
  type TensorManifest,
} from './tensor-manifest.js';
import { inByteOrder, type TensorEntry, type TensorIndex } from './tensors.js';

/** A file of a model with its tensors, opened when its bytes are needed. */
export interface TensorFile {
  /** Its path inside the model's folder, `/` between the parts. */
  readonly label: string;
  readonly byteLength: number;
  readonly tensors: TensorIndex;
  /**
   * Errors: SOURCE_MISMATCH if the file is no longer the one that `tensors` was read from. The caller closes the source.
   */
  open(): Promise<Source>;
}

/** The files of one model, in order: a result of openModel(), or made from bytes or URLs in a page. */
export interface TensorModel {
  readonly shards: readonly TensorFile[];
}

/** Options of tensorSource(). */
export interface TensorSourceOptions {
  /** Which tensors are packed; default all that have bytes and are stored as raw bytes. */
  readonly only?: ((tensor: TensorEntry) => boolean) | undefined;
  /**
   * Tensors of fewer bytes share a buffer with their neighbours, where a tensor has a buffer of its own otherwise (WebGPU).
   * Each still begins a block of 4096 bytes. Giving it, 1 included, also accepts padding beyond the 5 % that WebGPU allows
   * without it.
   */
  readonly minBytes?: number | undefined;
}

/** A chosen tensor that cannot be packed: it has no bytes, or protobuf values in place of bytes. */
export interface LeftOutTensor {
  readonly name: string;
  readonly why: 'empty' | 'protobuf';
}

/** What is packed, where its buffers begin, and what was omitted. */
export interface Packing {
  readonly manifest: TensorManifest;
  readonly cuts: readonly number[];
  readonly minBytes: number | null;
  readonly leftOut: readonly LeftOutTensor[];
}

/** Size limit of a buffer that small tensors share: far below the limit of any device. */
const MAX_SHARED_BYTES = 16 * 2 ** 20;

const OPTION_KEYS = { only: true, minBytes: true } satisfies OptionKeys<TensorSourceOptions>;

/**
 * Lays out the tensors of a model: files in their order, tensors in the order of their bytes.
 * Errors: INVALID_INPUT, naming the file or the option.
 */
export function packTensors(model: TensorModel, options: TensorSourceOptions): Packing {
  checkOptions('options', options, OPTION_KEYS);
  const { only, minBytes } = options;
  if (only !== undefined && typeof only !== 'function') throw invalidInput('only', 'must be a function');
  if (minBytes !== undefined) checkInteger('minBytes', minBytes, 1);
  const shards = checkModel(model);
  const layout = new Layout(minBytes ?? null);
  for (const [file, { label, byteLength, tensors }] of shards.entries()) {
    const chosen = only === undefined ? tensors : tensors.filter((tensor) => only(tensor));
    layout.add(file, { name: label, byteLength }, chosen);
  }
  return layout.finish();
}

function checkModel(model: TensorModel): readonly TensorFile[] {
  const shards: readonly TensorFile[] | undefined = model?.shards;
  if (!Array.isArray(shards) || shards.length === 0) {
    throw invalidInput('model', 'must have shards: see openModel');
  }
  if (shards.length > MANIFEST_LIMITS.files) {
    throw invalidInput('model', `has ${shards.length} files, more than ${MANIFEST_LIMITS.files}`);
  }
  const names = new Set<string>();
  for (const [index, shard] of shards.entries()) {
    const argument = `model.shards[${index}]`;
    if (typeof shard?.open !== 'function' || !Array.isArray(shard.tensors)) {
      throw invalidInput(argument, 'must have tensors and the method open');
    }
    checkInteger(`${argument}.byteLength`, shard.byteLength, 0);
    if (names.has(checkLabel(`${argument}.label`, shard.label))) {
      throw invalidInput(argument, 'has the label of another file');
    }
    names.add(shard.label);
  }
  return shards;
}

class Layout {
  readonly #minBytes: number | null;
  readonly #files: PackedFile[] = [];
  readonly #tensors: PackedTensor[] = [];
  readonly #names = new Set<string>();
  readonly #cuts: number[] = [];
  readonly #leftOut: LeftOutTensor[] = [];
  #end = 0;
  #inSharedBuffer = false;

  constructor(minBytes: number | null) {
    this.#minBytes = minBytes;
  }

  add(file: number, described: PackedFile, chosen: TensorIndex): void {
    const refuse = refusalOf(described.name);
    this.#files.push(Object.freeze(described));
    let previous: PackedTensor | undefined;
    for (const entry of inByteOrder([...chosen])) {
      const called = tensorCalled(entry.name);
      if (this.#names.has(entry.name)) throw refuse(`has ${called} twice`);
      this.#names.add(entry.name);
      if (this.#names.size > MANIFEST_LIMITS.tensors) {
        throw refuse(`brings the model to more than ${MANIFEST_LIMITS.tensors} tensors`);
      }
      const why = whyNothing(entry);
      if (why !== null) {
        this.#leftOut.push(Object.freeze({ name: entry.name, why }));
        continue;
      }
      if (entry.byteLength > described.byteLength - entry.byteOffset) {
        throw refuse(`has ${called} that ends after the file`);
      }
      const shared = sameRange(entry, previous);
      if (!shared && previous !== undefined && entry.byteOffset < previous.fileOffset + previous.byteLength) {
        throw refuse(`has ${called} over the bytes of another`);
      }
      const offset = shared && previous !== undefined ? previous.offset : this.#begin(entry.byteLength);
      previous = packed(entry, file, offset);
      this.#tensors.push(previous);
    }
  }

  finish(): Packing {
    if (this.#tensors.length === 0) {
      const values = this.#leftOut.some(({ why }) => why === 'protobuf');
      throw invalidInput(
        'model',
        `has no tensor to pack${values ? ': its file holds protobuf values, not their bytes' : ''}`,
      );
    }
    return {
      manifest: Object.freeze({
        v: 1,
        files: Object.freeze(this.#files),
        tensors: Object.freeze(this.#tensors),
      }),
      cuts: Object.freeze(this.#cuts),
      minBytes: this.#minBytes,
      leftOut: Object.freeze(this.#leftOut),
    };
  }

  /** Places the next run of blocks, in its own buffer or in one that small tensors share. */
  #begin(byteLength: number): number {
    const offset = this.#end;
    this.#end += paddedLength(byteLength);
    if (!Number.isSafeInteger(this.#end)) throw invalidInput('model', 'has more than 2^53 - 1 bytes');
    const small = this.#minBytes !== null && byteLength < this.#minBytes;
    const sharedBytes = this.#end - (this.#cuts.at(-1) ?? 0);
    if (!small || !this.#inSharedBuffer || sharedBytes > MAX_SHARED_BYTES) this.#cuts.push(offset);
    this.#inSharedBuffer = small;
    return offset;
  }
}

function whyNothing({ encoding, byteLength }: TensorEntry): LeftOutTensor['why'] | null {
  if (encoding === 'protobuf') return 'protobuf';
  return byteLength === 0 ? 'empty' : null;
}

function sameRange(entry: TensorEntry, previous: PackedTensor | undefined): boolean {
  return entry.byteOffset === previous?.fileOffset && entry.byteLength === previous.byteLength;
}

function packed({ name, dtype, shape, byteLength, byteOffset }: TensorEntry, file: number, offset: number) {
  const tensor: PackedTensor = {
    name,
    dtype: safetensorsDtype(dtype),
    shape: Object.freeze([...shape]),
    offset,
    byteLength,
    file,
    fileOffset: byteOffset,
  };
  return Object.freeze(tensor);
}
