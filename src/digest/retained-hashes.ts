import { invalidInput } from '../base/index.js';
import { treeLayout } from './layout.js';
import { HASH_BYTES, type KeepLevel } from './types.js';

/** Hashes of one level in order, as many as were announced. */
class Level {
  readonly hashes: Uint8Array;
  #end = 0;

  constructor(nodes: number) {
    try {
      this.hashes = new Uint8Array(nodes * HASH_BYTES);
    } catch (cause) {
      throw invalidInput('keep', `asks for ${nodes} hashes, more than memory can hold`, cause);
    }
  }

  append(hashes: Uint8Array): void {
    this.hashes.set(hashes, this.#end);
    this.#end += hashes.length;
  }
}

/** The hashes of the tree that a DigestRequest wants handed out. */
export class RetainedHashes {
  readonly #groups: Level | null;
  readonly #leaves: Level | null;
  readonly #oneBlock: boolean;

  constructor(byteLength: number, keep: KeepLevel) {
    const { blocks, levels } = treeLayout(byteLength);
    this.#oneBlock = blocks === 1;
    this.#leaves = keep === 'leaves' ? new Level(blocks) : null;
    this.#groups = keep === 'root' ? null : new Level(levels[1]?.nodes ?? blocks);
  }

  /** The next hashes of a level; levels that are not retained are passed over. */
  append(level: number, hashes: Uint8Array): void {
    if (level === 0) this.#leaves?.append(hashes);
    // The only leaf stands in for level 1.
    if (level === 1 || (level === 0 && this.#oneBlock)) this.#groups?.append(hashes);
  }

  get groups(): Uint8Array | null {
    return this.#groups?.hashes ?? null;
  }

  get leaves(): Uint8Array | null {
    return this.#leaves?.hashes ?? null;
  }
}
