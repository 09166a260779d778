import { invalidInput, VramError } from '../../base/index.js';
import { type DigestEngine, type DigestStream, FSVERITY_PREFIX } from '../../digest/index.js';
import type { TensorSource, TensorStreamOptions } from '../../models/index.js';
import type { SealedFile } from '../../seal/index.js';
import type { Source } from '../../source/index.js';
import type { PackedRequest } from './packed-request.js';

/** Hashes the published files behind a tensor source in the pass that packs them, each from its first byte to its last. */
export class FileDigests {
  readonly #engine: DigestEngine;
  readonly #packed: PackedRequest;
  readonly #sha256: boolean;
  readonly #found: SealedFile[] = [];
  #stream: DigestStream | null = null;
  #received = 0;

  constructor(engine: DigestEngine, packed: PackedRequest, sha256: boolean) {
    this.#engine = engine;
    this.#packed = packed;
    this.#sha256 = sha256;
  }

  /** The source, with every byte of its files hashed on the way. */
  over(source: TensorSource): Source {
    return {
      byteLength: source.byteLength,
      label: source.label,
      stream: (options: TensorStreamOptions) =>
        source.stream({
          ...options,
          onFileBytes: (file, bytes) => this.#update(file, bytes),
        }),
      unchanged: (options) => source.unchanged(options),
      close: () => source.close(),
    };
  }

  /**
   * In the order of the manifest. Errors: SOURCE_MISMATCH for a file with another digest than expected; INVALID_INPUT for
   * a source that did not show all of its files.
   */
  async finish(): Promise<readonly SealedFile[]> {
    await this.#passEmpty();
    const { files } = this.#packed.manifest;
    if (this.#found.length !== files.length) {
      throw invalidInput('source', `gave the bytes of ${this.#found.length} of its ${files.length} files`);
    }
    return this.#found;
  }

  abort(): void {
    this.#stream?.abort();
    this.#stream = null;
  }

  async #update(file: number, bytes: Uint8Array): Promise<void> {
    await this.#passEmpty();
    const described = this.#packed.manifest.files[file];
    if (described === undefined || file !== this.#found.length) {
      throw invalidInput('source', 'gave the bytes of its files out of order');
    }
    this.#stream ??= this.#start(described.byteLength);
    await this.#stream.update(bytes);
    this.#received += bytes.length;
    if (this.#received === described.byteLength) await this.#end(this.#stream);
  }

  /** Empty files produce no chunks. */
  async #passEmpty(): Promise<void> {
    while (this.#packed.manifest.files[this.#found.length]?.byteLength === 0) await this.#end(this.#start(0));
  }

  #start(byteLength: number): DigestStream {
    return this.#engine.start({ byteLength, sha256: this.#sha256, keep: 'root' });
  }

  async #end(stream: DigestStream): Promise<void> {
    const { byteLength, sha256, fsverity } = await stream.finish();
    this.#stream = null;
    this.#received = 0;
    const file = { sha256, fsverity, byteLength };
    this.#requireExpected(file);
    this.#found.push(file);
  }

  #requireExpected({ sha256, fsverity }: SealedFile): void {
    const index = this.#found.length;
    const expected = this.#packed.expectedFiles?.[index] ?? null;
    if (expected === null) return;
    const actual = expected.algorithm === 'sha256' ? sha256 : fsverity?.slice(FSVERITY_PREFIX.length);
    if (actual === expected.hex) return;
    const name = JSON.stringify(this.#packed.manifest.files[index]?.name);
    throw new VramError(
      'SOURCE_MISMATCH',
      `the file ${name} has ${expected.algorithm} ${actual}, expected ${expected.hex}; nothing was sealed`,
    );
  }
}
