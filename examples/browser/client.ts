import type { Failure, Method, Notice, Response, Runtime } from './protocol.js';

/** A call that the worker refused. */
export class Refusal extends Error {
  readonly code: string | null;
  readonly broken: boolean;
  readonly damaged: Failure['damaged'];

  constructor({ code, message, broken, damaged }: Failure) {
    super(message);
    this.name = 'Refusal';
    this.code = code;
    this.broken = broken;
    this.damaged = damaged;
  }
}

type Waiting = { readonly resolve: (answer: never) => void; readonly reject: (error: Error) => void };

/** The worker, as the page calls it. */
export class RuntimeClient {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;

  constructor(worker: Worker, onNotice: (notice: Notice) => void) {
    this.#worker = worker;
    worker.addEventListener('message', ({ data }: MessageEvent<Response | Notice>) => {
      if ('notice' in data) onNotice(data);
      else this.#settle(data);
    });
    worker.addEventListener('error', ({ message }) => {
      const reason = `the worker of this page failed: ${message || 'it could not be loaded'}`;
      for (const { reject } of this.#waiting.values()) reject(new Error(reason));
      this.#waiting.clear();
      onNotice({ notice: 'lost', reason });
    });
  }

  call<M extends Method>(method: M, ...args: Parameters<Runtime[M]>): ReturnType<Runtime[M]> {
    this.#lastId += 1;
    const id = this.#lastId;
    const answer = new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
    });
    this.#worker.postMessage({ id, method, args });
    return answer as ReturnType<Runtime[M]>;
  }

  /** Whether the worker answers within so many milliseconds; one that does not is ended. */
  async isAlive(withinMs: number): Promise<boolean> {
    const late = new Promise<boolean>((resolve) => setTimeout(() => resolve(false), withinMs));
    const alive = await Promise.race([this.call('answer').then(() => true), late]);
    if (!alive) this.#worker.terminate();
    return alive;
  }

  #settle(response: Response): void {
    const waiting = this.#waiting.get(response.id);
    this.#waiting.delete(response.id);
    if ('failure' in response) waiting?.reject(new Refusal(response.failure));
    else waiting?.resolve(response.answer as never);
  }
}
