import { ForeignCalls, VramError } from '../../base/index.js';
import { type DigestAnswer, type DigestRequestMessage, type DigestTask, readAnswer } from './messages.js';

/** What is used of a Worker. */
export interface WorkerLike {
  postMessage(message: unknown, transfer: Transferable[]): void;
  addEventListener(type: 'message', listener: (event: { readonly data: unknown }) => void): void;
  addEventListener(type: 'error' | 'messageerror', listener: (event: Event) => void): void;
  terminate(): void;
}

interface Pending {
  readonly bytes: number;
  resolve(answer: DigestAnswer): void;
  reject(error: VramError): void;
}

/** One worker and its pending requests. It ends with its first failure, because later answers could not be trusted. */
export class DigestWorker {
  readonly #worker: WorkerLike;
  readonly #stallMs: number;
  readonly #calls = new ForeignCalls();
  readonly #pending = new Map<number, Pending>();
  #nextId = 0;
  #queuedBytes = 0;
  #ended: VramError | null = null;

  constructor(worker: WorkerLike, stallMs: number) {
    this.#worker = worker;
    this.#stallMs = stallMs;
    worker.addEventListener('message', ({ data }) => this.#answer(data));
    for (const type of ['error', 'messageerror'] as const) {
      worker.addEventListener(type, () =>
        this.end(failed('a digest worker ended: its script could not be loaded, or it failed')),
      );
    }
  }

  get ended(): boolean {
    return this.#ended !== null;
  }

  /** Bytes waiting to be hashed. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /**
   * Tasks are carried out in order. The buffer is gone until the answer brings it back. Errors: DEVICE_UNAVAILABLE,
   * ABORTED.
   */
  async run(task: DigestTask): Promise<DigestAnswer> {
    try {
      return await this.#calls.run(() => this.#post(task), {
        limitMs: this.#stallMs,
        // A worker that was killed from outside sends no message.
        stalled: () => failed(`a digest worker has not answered for ${this.#stallMs} ms`),
      });
    } catch (error) {
      this.end(error instanceof VramError ? error : failed('a digest worker could not be asked', error));
      throw this.#ended ?? error;
    }
  }

  /** The stream needs its flat hash no longer. */
  drop(stream: number): void {
    if (this.#ended === null) this.#send({ kind: 'drop', stream }, []);
  }

  /** What is under way fails with that error. */
  end(error: VramError): void {
    if (this.#ended !== null) return;
    this.#ended = error;
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
    this.#queuedBytes = 0;
    this.#worker.terminate();
  }

  #post(task: DigestTask): Promise<DigestAnswer> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== null) {
        reject(this.#ended);
        return;
      }
      const id = this.#nextId++;
      const bytes = task.bytes.length;
      this.#send({ id, ...task }, [task.bytes.buffer]);
      this.#pending.set(id, { bytes, resolve, reject });
      this.#queuedBytes += bytes;
    });
  }

  #send(message: DigestRequestMessage, transfer: Transferable[]): void {
    this.#worker.postMessage(message, transfer);
  }

  #answer(message: unknown): void {
    const answer = readAnswer(message);
    const pending = answer === null ? undefined : this.#pending.get(answer.id);
    if (answer === null || pending === undefined) {
      this.end(
        failed('a digest worker said something that is not an answer: its script must call serveDigests()'),
      );
      return;
    }
    this.#pending.delete(answer.id);
    this.#queuedBytes -= pending.bytes;
    if ('failure' in answer) pending.reject(failed(`a digest worker failed: ${answer.failure}`));
    else pending.resolve(answer);
  }
}

function failed(message: string, cause?: unknown): VramError {
  return new VramError('DEVICE_UNAVAILABLE', message, { cause });
}
