import { type Serial, throwIfAborted } from '../base/index.js';

interface Waiting<Request, Result> {
  readonly request: Request;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

/** Combines small requests that wait for a device into one run. */
export class GatheredRuns<Request extends { readonly signal?: AbortSignal | undefined }, Result> {
  readonly #turns: Serial;
  readonly #limit: number;
  readonly #carryOut: (requests: readonly Request[]) => Promise<readonly Result[]>;
  readonly #waiting: Waiting<Request, Result>[] = [];

  /**
   * `turns` are shared with the device's other runs. `carryOut` gets 1 to `limit` requests and resolves to a result each, in
   * their order; if it rejects, none of them has one.
   */
  constructor(
    turns: Serial,
    limit: number,
    carryOut: (requests: readonly Request[]) => Promise<readonly Result[]>,
  ) {
    this.#turns = turns;
    this.#limit = Math.max(1, limit);
    this.#carryOut = carryOut;
  }

  /** Errors: ABORTED for a request whose signal has fired before its turn, and those of the run. */
  run(request: Request): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ request, resolve, reject });
      // Never rejects. The first request to get its turn carries out the others too.
      void this.#turns.run(() => this.#runWaiting());
    });
  }

  async #runWaiting(): Promise<void> {
    const taken = this.#waiting.splice(0, this.#limit);
    const live = taken.filter(({ request, reject }) => {
      try {
        throwIfAborted(request.signal);
        return true;
      } catch (error) {
        reject(error);
        return false;
      }
    });
    if (live.length === 0) return;
    try {
      const results = await this.#carryOut(live.map(({ request }) => request));
      for (const [index, { resolve, reject }] of live.entries()) {
        const result = results[index];
        if (result !== undefined) resolve(result);
        else reject(new TypeError('unreachable: a run gives every request its result'));
      }
    } catch (error) {
      for (const { reject } of live) reject(error);
    }
  }
}
