import { checkBytes } from '../../base/index.js';
import { AnnouncedLength } from '../announced-length.js';
import { hostDigest } from '../host-digest.js';
import { checkHashes, checkRequest } from '../requests.js';
import type { DigestEngine, DigestRequest, DigestStream, HostDigest } from '../types.js';
import { WasmKernel } from './kernel.js';

/** Instances pooled for later streams; each holds about 200 KiB and, scarcer, its address space. */
const IDLE_KERNELS = 4;

class KernelPool {
  readonly #idle: WasmKernel[] = [];

  async take(): Promise<WasmKernel> {
    return this.#idle.pop() ?? (await WasmKernel.create());
  }

  /** The kernel may be in the middle of a message: the next one starts over. */
  putBack(kernel: WasmKernel): void {
    if (this.#idle.length < IDLE_KERNELS) this.#idle.push(kernel);
  }

  async use<T>(work: (kernel: WasmKernel) => T): Promise<T> {
    const kernel = await this.take();
    try {
      return work(kernel);
    } finally {
      this.putBack(kernel);
    }
  }

  clear(): void {
    this.#idle.length = 0;
  }
}

class WasmStream implements DigestStream {
  readonly #request: DigestRequest;
  readonly #pool: KernelPool;
  readonly #announced: AnnouncedLength;
  #kernel: Promise<WasmKernel> | null = null;

  constructor(request: DigestRequest, pool: KernelPool) {
    this.#request = checkRequest(request);
    this.#pool = pool;
    this.#announced = new AnnouncedLength(request.byteLength);
  }

  async update(chunk: Uint8Array): Promise<void> {
    this.#guarded(() => this.#announced.add(chunk));
    const kernel = await this.#started();
    this.#announced.checkNotAborted();
    kernel.update(chunk);
  }

  async finish(): Promise<HostDigest> {
    this.#guarded(() => this.#announced.end());
    const kernel = await this.#started();
    this.#announced.checkNotAborted();
    const { flat, tree } = kernel.finish();
    const { byteLength, sha256 } = this.#request;
    // Hashed at once, before anybody else can get the kernel: another one would take address space for one short message.
    const digest = hostDigest(byteLength, sha256 ? flat : null, tree, async (bytes) => kernel.sha256(bytes));
    this.#release();
    return digest;
  }

  abort(): void {
    this.#announced.abort();
    this.#release();
  }

  /** Calls that were not awaited continue in call order: all wait for this one promise. */
  #started(): Promise<WasmKernel> {
    this.#kernel ??= this.#pool.take().then((kernel) => {
      kernel.begin(this.#request);
      return kernel;
    });
    return this.#kernel;
  }

  #guarded(check: () => void): void {
    try {
      check();
    } catch (error) {
      if (this.#announced.aborted) this.#release();
      throw error;
    }
  }

  #release(): void {
    const kernel = this.#kernel;
    this.#kernel = null;
    kernel?.then(
      (idle) => this.#pool.putBack(idle),
      // Nothing to release; update() and finish() wait for the same promise and report it.
      () => undefined,
    );
  }
}

/** Hashes with the AssemblyScript module: four-lane SIMD for the tree, streaming SHA-256 for the flat digest. */
export class WasmEngine implements DigestEngine {
  readonly name = 'wasm';
  readonly #pool = new KernelPool();

  start(request: DigestRequest): DigestStream {
    return new WasmStream(request, this.#pool);
  }

  async leaves(bytes: Uint8Array): Promise<Uint8Array> {
    checkBytes('bytes', bytes);
    return this.#pool.use((kernel) => kernel.hashBlocks(bytes));
  }

  async nodes(hashes: Uint8Array): Promise<Uint8Array> {
    checkHashes(hashes);
    return this.#pool.use((kernel) => kernel.hashBlocks(hashes));
  }

  async sha256(bytes: Uint8Array): Promise<Uint8Array> {
    checkBytes('bytes', bytes);
    return this.#pool.use((kernel) => kernel.sha256(bytes));
  }

  async close(): Promise<void> {
    this.#pool.clear();
  }
}
