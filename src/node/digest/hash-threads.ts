import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { VramError } from '../../base/index.js';
import { WORKER_SOURCE } from './worker-source.js';

const MAX_THREADS = 4;

/** One piece of work, over shared memory or a file; see worker-source.ts. */
export type HashTask =
  | { readonly kind: 'flat'; readonly stream: number; readonly data: Uint8Array; readonly last: boolean }
  | {
      readonly kind: 'flat-file';
      readonly stream: number;
      readonly descriptor: number;
      readonly offset: number;
      readonly length: number;
      readonly last: boolean;
    }
  | {
      readonly kind: 'leaves';
      readonly data: Uint8Array;
      readonly out: Uint8Array;
      readonly blockBytes: number;
      readonly hashBytes: number;
    };

interface Pending {
  readonly bytes: number;
  resolve(result: Uint8Array | null): void;
  reject(error: Error): void;
}

/** One worker thread. It keeps the process alive only while it has work. */
export class HashThread {
  readonly #worker = new Worker(WORKER_SOURCE, { eval: true, execArgv: [], name: 'vram-residency-digest' });
  readonly #pending = new Map<number, Pending>();
  #nextId = 0;
  #queuedBytes = 0;
  #ended = false;

  constructor() {
    this.#worker.on('message', (message: unknown) => this.#answer(message));
    this.#worker.on('error', (cause) => this.#end(cause));
    this.#worker.on('exit', () => this.#end(undefined));
  }

  /** Bytes waiting to be hashed. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Tasks of one thread are carried out in order. Errors: DEVICE_UNAVAILABLE, ABORTED (closed meanwhile). */
  run(task: HashTask): Promise<Uint8Array | null> {
    return new Promise((resolve, reject) => {
      if (this.#ended) {
        reject(threadEnded(undefined));
        return;
      }
      const id = this.#nextId++;
      const bytes = task.kind === 'flat-file' ? task.length : task.data.length;
      this.#pending.set(id, { bytes, resolve, reject });
      this.#queuedBytes += bytes;
      this.#worker.ref();
      this.#worker.postMessage({ id, ...task });
    });
  }

  /** Forgets a stream's flat hash. */
  drop(stream: number): void {
    if (!this.#ended) this.#worker.postMessage({ kind: 'drop', stream });
  }

  async close(): Promise<void> {
    const reads = this.#pending.size > 0;
    this.#fail(new VramError('ABORTED', 'the digest engine was closed'));
    const ended = this.#worker.terminate();
    // A thread that waits for a file system ends when that responds, which may be never.
    if (!reads) await ended;
    else ended.catch(() => undefined);
  }

  #answer(message: unknown): void {
    const { id, result, error } = readAnswer(message);
    const pending = this.#pending.get(id);
    if (pending === undefined) return;
    this.#pending.delete(id);
    this.#queuedBytes -= pending.bytes;
    if (this.#pending.size === 0) this.#worker.unref();
    if (error === null) pending.resolve(result);
    else pending.reject(new VramError('DEVICE_UNAVAILABLE', `a hashing thread failed: ${error}`));
  }

  #end(cause: unknown): void {
    this.#fail(threadEnded(cause));
  }

  #fail(error: VramError): void {
    this.#ended = true;
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
    this.#queuedBytes = 0;
  }
}

function threadEnded(cause: unknown): VramError {
  return new VramError('DEVICE_UNAVAILABLE', 'a hashing thread ended; try again', { cause });
}

function readAnswer(message: unknown): { id: number; result: Uint8Array | null; error: string | null } {
  const answer: { id: number; result: Uint8Array | null; error: string | null } = {
    id: -1,
    result: null,
    error: null,
  };
  if (typeof message !== 'object' || message === null) return answer;
  if ('id' in message && typeof message.id === 'number') answer.id = message.id;
  if ('result' in message && message.result instanceof Uint8Array) answer.result = message.result;
  if ('error' in message && typeof message.error === 'string') answer.error = message.error;
  return answer;
}

/** Up to min(cores, 4) threads. One is started when there is work that the running threads have not begun. */
export class HashThreads {
  #threads: HashThread[] = [];
  readonly #limit = Math.min(availableParallelism(), MAX_THREADS);

  /** Threads running now. */
  get size(): number {
    return this.#threads.filter((thread) => !thread.ended).length;
  }

  /** The thread that will be free first. Errors: DEVICE_UNAVAILABLE. */
  leastBusy(): HashThread {
    this.#threads = this.#threads.filter((thread) => !thread.ended);
    let best: HashThread | undefined;
    for (const thread of this.#threads) {
      if (best === undefined || thread.queuedBytes < best.queuedBytes) best = thread;
    }
    if (best !== undefined && (best.queuedBytes === 0 || this.#threads.length === this.#limit)) return best;
    try {
      const started = new HashThread();
      this.#threads.push(started);
      return started;
    } catch (cause) {
      if (best !== undefined) return best;
      throw new VramError('DEVICE_UNAVAILABLE', 'no thread could be started for hashing', { cause });
    }
  }

  /** Work in progress fails with ABORTED. */
  async close(): Promise<void> {
    const threads = this.#threads;
    this.#threads = [];
    await Promise.all(threads.map((thread) => thread.close()));
  }
}
