import { throwIfAborted } from '../base/index.js';
import type { DigestEngine, DigestStream, HostDigest } from '../digest/index.js';
import type { TensorEntry, TensorIndex } from '../models/index.js';
import type { Source } from '../source/index.js';

const CHUNK_BYTES = 1024 * 1024;

export interface ShardDigests {
  readonly file: HostDigest;
  /** In the order of the index; null for a tensor that the file holds as protobuf values, not as bytes. */
  readonly tensors: readonly (string | null)[];
}

/**
 * The digests of a file and of each of its tensors, in one pass. `tensors` is in byte order, as the readers return it.
 * Errors: SOURCE_MISMATCH if the file changed meanwhile, ABORTED.
 */
export async function digestShard(
  source: Source,
  tensors: TensorIndex,
  engine: DigestEngine,
  signal: AbortSignal,
): Promise<ShardDigests> {
  const whole = engine.start({ byteLength: source.byteLength, sha256: true, keep: 'root' });
  const walk = new TensorWalk(tensors, engine);
  try {
    let offset = 0;
    for await (const chunk of source.stream({ chunkBytes: CHUNK_BYTES, signal })) {
      throwIfAborted(signal);
      await whole.update(chunk);
      await walk.update(chunk, offset);
      offset += chunk.length;
    }
    await source.unchanged();
    return { file: await whole.finish(), tensors: await walk.finish(source.byteLength) };
  } finally {
    whole.abort();
    walk.abort();
  }
}

/** Cuts a file into its tensors as it streams by. Tensors never overlap, so one stream at most is open. */
class TensorWalk {
  readonly #tensors: TensorIndex;
  readonly #engine: DigestEngine;
  readonly #digests: (string | null)[] = [];
  #open: DigestStream | null = null;

  constructor(tensors: TensorIndex, engine: DigestEngine) {
    this.#tensors = tensors;
    this.#engine = engine;
  }

  /** The bytes of the file from `start` on, right behind those given before. */
  async update(chunk: Uint8Array, start: number): Promise<void> {
    const end = start + chunk.length;
    for (let tensor = this.#next(); tensor !== undefined; tensor = this.#next()) {
      const { byteOffset, byteLength } = tensor;
      if (byteOffset > end) return;
      this.#open ??= this.#engine.start({ byteLength, sha256: false, keep: 'root' });
      const part = chunk.subarray(Math.max(byteOffset - start, 0), byteOffset + byteLength - start);
      if (part.length > 0) await this.#open.update(part);
      if (byteOffset + byteLength > end) return;
      const { fsverity } = await this.#open.finish();
      this.#open = null;
      this.#digests.push(fsverity);
    }
  }

  /** The file has `byteLength` bytes, and all were given. */
  async finish(byteLength: number): Promise<readonly (string | null)[]> {
    // An empty file streams no chunk, and may hold tensors without bytes.
    await this.update(new Uint8Array(), byteLength);
    if (this.#digests.length !== this.#tensors.length)
      throw new TypeError('unreachable: a tensor leaves its file');
    return this.#digests;
  }

  abort(): void {
    this.#open?.abort();
    this.#open = null;
  }

  /** The next tensor that has to be hashed. */
  #next(): TensorEntry | undefined {
    for (;;) {
      const index = this.#digests.length;
      const tensor = this.#tensors[index];
      if (tensor === undefined) return undefined;
      const before = this.#tensors[index - 1];
      if (tensor.encoding === 'protobuf') this.#digests.push(null);
      else if (before !== undefined && before.encoding !== 'protobuf' && sameRange(tensor, before))
        this.#digests.push(this.#digests[index - 1] ?? null);
      else return tensor;
    }
  }
}

/** ONNX lets tensors share one range of an external file. */
function sameRange(a: TensorEntry, b: TensorEntry): boolean {
  return a.byteOffset === b.byteOffset && a.byteLength === b.byteLength;
}
