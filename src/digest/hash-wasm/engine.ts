import type { IHasher } from 'hash-wasm';
import { checkBytes } from '../../base/index.js';
import { hashPadded } from '../block-hashes.js';
import { checkHashes } from '../requests.js';
import { type FlatHash, type SerialHashes, SerialStream } from '../serial-stream.js';
import type { BlockHasher } from '../tree-accumulator.js';
import {
  BLOCK_BYTES,
  type DigestEngine,
  type DigestRequest,
  type DigestStream,
  HASH_BYTES,
} from '../types.js';
import { wasmRefused } from '../wasm-refused.js';

/** One-shot hashes through one hasher: every call begins and ends a message, without waiting in between. */
class OneShot {
  readonly #hasher: IHasher;

  constructor(hasher: IHasher) {
    this.#hasher = hasher;
  }

  sha256(bytes: Uint8Array): Uint8Array {
    return this.#hasher.init().update(bytes).digest('binary');
  }

  readonly hashBlocks: BlockHasher = (blocks, out) => {
    for (let offset = 0, end = 0; offset < blocks.length; offset += BLOCK_BYTES, end += HASH_BYTES) {
      out.set(this.sha256(blocks.subarray(offset, offset + BLOCK_BYTES)), end);
    }
  };
}

/** Errors: DEVICE_UNAVAILABLE where WebAssembly cannot be run. */
async function createHasher(): Promise<IHasher> {
  const { createSHA256 } = await import('./sha256.js');
  try {
    return await createSHA256();
  } catch (cause) {
    throw wasmRefused(cause);
  }
}

/** Errors: DEVICE_UNAVAILABLE where WebAssembly cannot be run. */
export async function flatHash(): Promise<FlatHash> {
  const hasher = await createHasher();
  hasher.init();
  return { update: (bytes) => void hasher.update(bytes), digest: () => hasher.digest('binary') };
}

/** Hashes with npm hash-wasm, which needs no SIMD: the fallback of old pages, and an oracle in tests. */
export class HashWasmEngine implements DigestEngine {
  readonly name = 'hash-wasm';
  #oneShot: Promise<OneShot> | null = null;

  start(request: DigestRequest): DigestStream {
    return new SerialStream(request, (flat) => this.#open(flat));
  }

  async leaves(bytes: Uint8Array): Promise<Uint8Array> {
    checkBytes('bytes', bytes);
    return hashPadded(bytes, (await this.#ready()).hashBlocks);
  }

  async nodes(hashes: Uint8Array): Promise<Uint8Array> {
    checkHashes(hashes);
    return hashPadded(hashes, (await this.#ready()).hashBlocks);
  }

  async sha256(bytes: Uint8Array): Promise<Uint8Array> {
    checkBytes('bytes', bytes);
    return (await this.#ready()).sha256(bytes);
  }

  async close(): Promise<void> {
    this.#oneShot = null;
  }

  async #open(flat: boolean): Promise<SerialHashes> {
    const oneShot = await this.#ready();
    return {
      flat: flat ? await flatHash() : null,
      hashBlocks: oneShot.hashBlocks,
      sha256: async (bytes) => oneShot.sha256(bytes),
    };
  }

  #ready(): Promise<OneShot> {
    this.#oneShot ??= createHasher().then((hasher) => new OneShot(hasher));
    return this.#oneShot;
  }
}
