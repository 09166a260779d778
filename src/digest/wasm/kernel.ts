import { RetainedHashes } from '../retained-hashes.js';
import type { TreeHashes } from '../tree-accumulator.js';
import { BLOCK_BYTES, type DigestRequest, HASH_BYTES } from '../types.js';
import { WasmInstance } from './module.js';

/** One instance of assembly/: hashes one message at a time, through one reused staging area. */
export class WasmKernel {
  readonly #memory: WebAssembly.Memory;
  readonly #staging: number;
  readonly #stagingBytes: number;
  readonly #leavesAt: number;
  readonly #groupsAt: number;
  readonly #resultAt: number;
  readonly #begin;
  readonly #absorb;
  readonly #finish;
  readonly #takeGroups;
  readonly #hashStaged;
  #filled = 0;
  #retained: RetainedHashes | null = null;

  private constructor(instance: WasmInstance) {
    this.#memory = instance.memory;
    this.#staging = instance.function('staging')();
    this.#stagingBytes = instance.function('stagingBytes')();
    this.#leavesAt = instance.function('leaves')();
    this.#groupsAt = instance.function('groups')();
    this.#resultAt = instance.function('result')();
    this.#begin = instance.function('begin');
    this.#absorb = instance.function('absorb');
    this.#finish = instance.function('finish');
    this.#takeGroups = instance.function('takeGroups');
    this.#hashStaged = instance.function('hashStaged');
  }

  static async create(): Promise<WasmKernel> {
    return new WasmKernel(await WasmInstance.create());
  }

  /** Starts a stream and discards the state of an earlier one. */
  begin(request: DigestRequest): void {
    this.#start(request.sha256, new RetainedHashes(request.byteLength, request.keep));
  }

  /** Starts a stream of which only the flat hash is needed: the tree from finish() is meaningless. */
  beginFlat(): void {
    this.#start(true, null);
  }

  update(bytes: Uint8Array): void {
    for (let offset = 0; offset < bytes.length; ) {
      const end = Math.min(offset + this.#stagingBytes - this.#filled, bytes.length);
      this.#view(this.#staging + this.#filled, end - offset).set(bytes.subarray(offset, end));
      this.#filled += end - offset;
      offset = end;
      if (this.#filled === this.#stagingBytes) {
        this.#absorb();
        this.#keep(this.#filled);
        this.#filled = 0;
      }
    }
  }

  /** The flat hash (meaningless if it was not asked for) and the tree. */
  finish(): { flat: Uint8Array; tree: TreeHashes } {
    this.#finish(this.#filled);
    this.#keep(this.#filled);
    const tree = {
      root: this.#view(this.#resultAt + HASH_BYTES, HASH_BYTES).slice(),
      groups: this.#retained?.groups ?? null,
      leaves: this.#retained?.leaves ?? null,
    };
    this.#retained = null;
    return { flat: this.#view(this.#resultAt, HASH_BYTES).slice(), tree };
  }

  /** Hashes of consecutive blocks, the last one zero-padded. Not while a stream is under way. */
  hashBlocks(bytes: Uint8Array): Uint8Array {
    const hashes = new Uint8Array(Math.ceil(bytes.length / BLOCK_BYTES) * HASH_BYTES);
    let end = 0;
    for (let offset = 0; offset < bytes.length; offset += this.#stagingBytes) {
      const part = bytes.subarray(offset, offset + this.#stagingBytes);
      this.#view(this.#staging, part.length).set(part);
      const count = this.#hashStaged(part.length);
      hashes.set(this.#view(this.#leavesAt, count * HASH_BYTES), end);
      end += count * HASH_BYTES;
    }
    return hashes;
  }

  /** Flat SHA-256. Not while a stream is under way. */
  sha256(bytes: Uint8Array): Uint8Array {
    this.beginFlat();
    this.update(bytes);
    return this.finish().flat;
  }

  #start(flat: boolean, retained: RetainedHashes | null): void {
    this.#filled = 0;
    this.#retained = retained;
    this.#begin(flat ? 1 : 0, retained === null ? 0 : 1);
  }

  #keep(bytes: number): void {
    if (this.#retained === null) return;
    const leaves = Math.ceil(bytes / BLOCK_BYTES);
    this.#retained.append(0, this.#view(this.#leavesAt, leaves * HASH_BYTES));
    this.#retained.append(1, this.#view(this.#groupsAt, this.#takeGroups() * HASH_BYTES));
  }

  #view(address: number, length: number): Uint8Array {
    return new Uint8Array(this.#memory.buffer, address, length);
  }
}
