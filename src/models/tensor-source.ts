import { checkInteger, invalidInput, Serial, throwIfAborted, VramError } from '../base/index.js';
import type { Source, StreamOptions } from '../source/index.js';
import { PackBuffer, PackWalk } from './pack-walk.js';
import {
  type LeftOutTensor,
  packTensors,
  type TensorFile,
  type TensorModel,
  type TensorSourceOptions,
} from './packing.js';
import { type PackedTensor, packedLength, type TensorManifest, tensorIndexAt } from './tensor-manifest.js';

/** Options of reading the tensors of a model. */
export interface TensorStreamOptions extends StreamOptions {
  /**
   * Gets every byte of every file, each file from its first byte to its last, also those that no tensor holds: a seal
   * hashes the published files in the pass that packs them. A chunk is valid until the promise resolves.
   */
  readonly onFileBytes?: (file: number, bytes: Uint8Array) => Promise<void>;
}

/**
 * The tensors of a model as one sequence of bytes: each begins a block of 4096 bytes, and zeros fill its last block. It
 * is read from the model's files on demand, so that it heals from them too.
 */
export interface TensorSource extends Source {
  readonly manifest: TensorManifest;
  /** Where buffers begin, for Device.allocate(). */
  readonly cuts: readonly number[];
  readonly minBytes: number | null;
  /** Chosen tensors that are not packed, and why. */
  readonly leftOut: readonly LeftOutTensor[];
  stream(options: TensorStreamOptions): AsyncIterable<Uint8Array>;
  readRange(offset: number, length: number): Promise<Uint8Array>;
}

/**
 * The source that seals a model's tensors, each in its own buffer on devices with buffers. Files are read on demand and
 * opened one at a time.
 *
 * Errors: INVALID_INPUT for a model without a tensor to pack, a tensor that leaves its file or overlaps another, a
 * duplicate name. While reading: those of the model's files.
 */
export function tensorSource(model: TensorModel, options: TensorSourceOptions = {}): TensorSource {
  const packing = packTensors(model, options);
  // A copy: the manifest describes these files even if the caller's list changes.
  return new PackedSource([...model.shards], packing);
}

class PackedSource implements TensorSource {
  readonly byteLength: number;
  readonly label: string;
  readonly manifest: TensorManifest;
  readonly cuts: readonly number[];
  readonly minBytes: number | null;
  readonly leftOut: readonly LeftOutTensor[];
  readonly #files: readonly TensorFile[];
  readonly #reads = new Serial();
  #open: { readonly file: number; readonly source: Source } | null = null;
  #closed = false;

  constructor(files: readonly TensorFile[], packing: ReturnType<typeof packTensors>) {
    this.manifest = packing.manifest;
    this.cuts = packing.cuts;
    this.minBytes = packing.minBytes;
    this.leftOut = packing.leftOut;
    this.byteLength = packedLength(packing.manifest);
    this.label = files.length === 1 ? (files[0]?.label ?? '') : `${files[0]?.label} and its other files`;
    this.#files = files;
  }

  async *stream(options: TensorStreamOptions): AsyncIterable<Uint8Array> {
    checkInteger('chunkBytes', options.chunkBytes, 1);
    const buffer = new PackBuffer(Math.min(options.chunkBytes, this.byteLength));
    let next = 0;
    for (let file = 0; file < this.#files.length; file++) {
      const tensors = this.#tensorsFrom(next, file);
      next += tensors.length;
      if (tensors.length === 0 && options.onFileBytes === undefined) continue;
      yield* this.#streamFile(file, new PackWalk(onePerPlace(tensors), buffer), options);
    }
    if (!buffer.isEmpty) yield buffer.take();
  }

  async *#streamFile(
    file: number,
    walk: PackWalk,
    { signal, chunkBytes, onFileBytes, onRead }: TensorStreamOptions,
  ): AsyncIterable<Uint8Array> {
    throwIfAborted(signal);
    const source = await this.#openFile(file);
    try {
      for await (const bytes of source.stream({ chunkBytes, signal })) {
        onRead?.();
        await onFileBytes?.(file, bytes);
        yield* walk.pack(bytes);
      }
      if (!walk.isDone) throw endsEarly(source);
      await source.unchanged();
    } finally {
      await source.close();
    }
  }

  /** The tensors of a file, which stand together; the first of them has the index `first`. */
  #tensorsFrom(first: number, file: number): readonly PackedTensor[] {
    const { tensors } = this.manifest;
    let end = first;
    while (tensors[end]?.file === file) end += 1;
    return tensors.slice(first, end);
  }

  async readRange(offset: number, length: number): Promise<Uint8Array> {
    checkInteger('offset', offset, 0);
    checkInteger('length', length, 0);
    if (length > this.byteLength - offset) {
      throw invalidInput('length', `ends behind the ${this.byteLength} bytes`);
    }
    return await this.#reads.run(() => this.#readPacked(offset, length));
  }

  async #readPacked(offset: number, length: number): Promise<Uint8Array> {
    const result = new Uint8Array(length);
    const end = offset + length;
    const { tensors } = this.manifest;
    const first = length === 0 ? tensors.length : tensorIndexAt(this.manifest, offset);
    let previous: PackedTensor | undefined;
    for (let index = first; index < tensors.length; index++) {
      const tensor = tensors[index];
      if (tensor === undefined || tensor.offset >= end) break;
      const from = Math.max(tensor.offset, offset);
      const to = Math.min(tensor.offset + tensor.byteLength, end);
      // Tensors with one place are read once; between a tensor's end and the next one are zeros.
      if (tensor.offset !== previous?.offset && to > from) {
        result.set(await this.#read(tensor, from - tensor.offset, to - from), from - offset);
      }
      previous = tensor;
    }
    return result;
  }

  /** Bytes of one tensor. The file stays open for the next read, since damage tends to be close together. */
  async #read({ file, fileOffset }: PackedTensor, offset: number, length: number): Promise<Uint8Array> {
    if (this.#open?.file !== file) {
      await this.#shut();
      this.#open = { file, source: await this.#openFile(file) };
    }
    const { source } = this.#open;
    if (source.readRange === undefined) {
      throw invalidInput('source', `has the file "${source.label}", which cannot be read at a position`);
    }
    const bytes = await source.readRange(fileOffset + offset, length);
    if (bytes.length !== length) throw endsEarly(source);
    return bytes;
  }

  /** Opens all files, each unchanged since its index was read. */
  async unchanged(): Promise<void> {
    for (let file = 0; file < this.#files.length; file++) {
      const source = await this.#openFile(file);
      try {
        await source.unchanged();
      } finally {
        await source.close();
      }
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#reads.run(() => this.#shut());
  }

  async #shut(): Promise<void> {
    const open = this.#open;
    this.#open = null;
    await open?.source.close();
  }

  async #openFile(file: number): Promise<Source> {
    if (this.#closed) throw invalidInput('source', 'is closed');
    const described = this.#files[file];
    if (described === undefined) throw new TypeError('unreachable: the manifest names its own files');
    const source = await described.open();
    if (source.byteLength === described.byteLength) return source;
    await source.close();
    throw new VramError(
      'SOURCE_MISMATCH',
      `the file "${described.label}" has ${source.byteLength} bytes, not the ${described.byteLength} it had`,
    );
  }
}

/** For tensors with the same place, the first. */
function onePerPlace(tensors: readonly PackedTensor[]): readonly PackedTensor[] {
  return tensors.filter(({ offset }, index) => offset !== tensors[index - 1]?.offset);
}

function endsEarly({ label }: Source): VramError {
  return new VramError('SOURCE_MISMATCH', `the file "${label}" ended before its last tensor did`);
}
