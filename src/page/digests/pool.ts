import { VramError } from '../../base/index.js';
import { DigestWorker, type WorkerLike } from './worker.js';

/** What one task takes: whole groups of the tree, so that level 1 can be hashed beside the leaves. */
export const SLAB_BYTES = 1_048_576;
/** Buffers that wait to be used again, for each worker. */
const IDLE_SLABS = 3;

/** Workers that are started when there is work that the running ones have not got to. */
export class DigestPool {
  readonly #start: () => WorkerLike;
  readonly #stallMs: number;
  readonly #idle: Uint8Array<ArrayBuffer>[] = [];
  #workers: DigestWorker[] = [];
  readonly limit: number;

  constructor(start: () => WorkerLike, limit: number, stallMs: number) {
    this.#start = start;
    this.limit = limit;
    this.#stallMs = stallMs;
  }

  /** The worker that will be free first. Errors: DEVICE_UNAVAILABLE. */
  leastBusy(): DigestWorker {
    this.#workers = this.#workers.filter((worker) => !worker.ended);
    let best: DigestWorker | undefined;
    for (const worker of this.#workers) {
      if (best === undefined || worker.queuedBytes < best.queuedBytes) best = worker;
    }
    if (best !== undefined && (best.queuedBytes === 0 || this.#workers.length === this.limit)) return best;
    try {
      const started = new DigestWorker(this.#start(), this.#stallMs);
      this.#workers.push(started);
      return started;
    } catch (cause) {
      throw new VramError('DEVICE_UNAVAILABLE', 'no digest worker could be started', { cause });
    }
  }

  takeSlab(): Uint8Array<ArrayBuffer> {
    return this.#idle.pop() ?? new Uint8Array(SLAB_BYTES);
  }

  releaseSlab(buffer: ArrayBuffer): void {
    if (buffer.byteLength === SLAB_BYTES && this.#idle.length < IDLE_SLABS * this.limit) {
      this.#idle.push(new Uint8Array(buffer));
    }
  }

  /** Work under way fails with ABORTED. Later work starts workers again. */
  close(): void {
    const workers = this.#workers;
    this.#workers = [];
    this.#idle.length = 0;
    for (const worker of workers) worker.end(new VramError('ABORTED', 'the digest workers were closed'));
  }
}
