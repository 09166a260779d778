import {
  checkBytes,
  checkInteger,
  checkOptions,
  fromHex,
  invalidInput,
  MAX_TIMER_MS,
  type OptionKeys,
} from '../../base/index.js';
import {
  checkHashes,
  checkRequest,
  createPortableEngine,
  type DigestEngine,
  type DigestRequest,
  type DigestStream,
} from '../../digest/index.js';
import { DigestPool } from './pool.js';
import { WorkerStream } from './stream.js';
import type { WorkerLike } from './worker.js';

/** Options of digestWorkers(). */
export interface DigestWorkersOptions {
  /**
   * Starts a module worker whose script calls serveDigests(). Written out in the caller's own code, so that bundlers
   * find the script: `() => new Worker(new URL('./digest-worker.js', import.meta.url), { type: 'module' })`.
   */
  readonly worker: () => WorkerLike;
  /** At most so many, from 1 to 16; default as many as there are processors, at most 4. */
  readonly workers?: number | undefined;
  /** Milliseconds that a worker may take for 1 MiB, its start included, before it is abandoned; default 20,000. */
  readonly stallMs?: number | undefined;
}

const DIGEST_WORKERS_KEYS = {
  worker: true,
  workers: true,
  stallMs: true,
} satisfies OptionKeys<DigestWorkersOptions>;
const MOST_WORKERS = 16;
const DEFAULT_WORKERS = 4;
/** Less than the manager's limit for an engine, so that this more specific error is reported. */
const DEFAULT_STALL_MS = 20_000;
/** Less is hashed sooner than it is sent; it takes a fraction of a millisecond. */
const SENT_BYTES = 65_536;

/**
 * A digest engine for `VramManager.open({ engine })` that hashes in module workers, which start on first use: the thread
 * that calls it stays free. After a worker failed, the work under way is refused, and later work starts new ones. Its
 * creator closes it.
 * Errors: INVALID_INPUT. Its streams: DEVICE_UNAVAILABLE for a worker that fails, was killed, or does not answer.
 */
export function digestWorkers(options: DigestWorkersOptions): DigestEngine {
  checkOptions('options', options, DIGEST_WORKERS_KEYS);
  const { worker, workers, stallMs } = options;
  if (typeof worker !== 'function') throw invalidInput('worker', 'must be a function that starts a Worker');
  const limit = checkInteger('workers', workers ?? defaultWorkers(), 1, MOST_WORKERS);
  const limitMs = checkInteger('stallMs', stallMs ?? DEFAULT_STALL_MS, 1, MAX_TIMER_MS);
  return new WorkerEngine(new DigestPool(worker, limit, limitMs));
}

class WorkerEngine implements DigestEngine {
  readonly name;
  readonly #pool: DigestPool;
  readonly #local = createPortableEngine();

  constructor(pool: DigestPool) {
    this.#pool = pool;
    this.name = this.#local.name;
  }

  start(request: DigestRequest): DigestStream {
    return new WorkerStream(checkRequest(request), this.#pool, this);
  }

  async leaves(bytes: Uint8Array): Promise<Uint8Array> {
    checkBytes('bytes', bytes);
    if (bytes.length <= SENT_BYTES) return this.#local.leaves(bytes);
    const stream = this.start({ byteLength: bytes.length, sha256: false, keep: 'leaves' });
    await stream.update(bytes);
    return (await stream.finish()).leaves ?? new Uint8Array();
  }

  async nodes(hashes: Uint8Array): Promise<Uint8Array> {
    return this.leaves(checkHashes(hashes));
  }

  async sha256(bytes: Uint8Array): Promise<Uint8Array> {
    checkBytes('bytes', bytes);
    if (bytes.length <= SENT_BYTES) return this.#local.sha256(bytes);
    const stream = this.start({ byteLength: bytes.length, sha256: true, keep: 'root' });
    await stream.update(bytes);
    return fromHex((await stream.finish()).sha256 ?? '');
  }

  async close(): Promise<void> {
    this.#pool.close();
    await this.#local.close();
  }
}

function defaultWorkers(): number {
  return Math.min(globalThis.navigator?.hardwareConcurrency ?? DEFAULT_WORKERS, DEFAULT_WORKERS);
}
