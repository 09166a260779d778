import { BLOCK_BYTES, HASH_BYTES } from '../../digest/index.js';

/** Bytes passed to a thread at once: enough to outweigh the cost of a message, few enough to keep memory small. */
export const SLAB_BYTES = 512 * 1024;
/** Slabs that one stream may hold: 4 MiB. */
export const SLABS_PER_STREAM = 8;
const IDLE_SLABS = SLABS_PER_STREAM;

/** Shared memory for a piece of the stream and its leaf hashes. */
export class Slab {
  readonly data = new Uint8Array(new SharedArrayBuffer(SLAB_BYTES));
  readonly hashes = new Uint8Array(new SharedArrayBuffer((SLAB_BYTES / BLOCK_BYTES) * HASH_BYTES));
  filled = 0;
}

/** Slabs between streams; those beyond a few are left to the garbage collector. */
export class IdleSlabs {
  readonly #slabs: Slab[] = [];

  take(): Slab {
    return this.#slabs.pop() ?? new Slab();
  }

  putBack(slab: Slab): void {
    slab.filled = 0;
    if (this.#slabs.length < IDLE_SLABS) this.#slabs.push(slab);
  }

  clear(): void {
    this.#slabs.length = 0;
  }
}
