/** Runs bodies one after another, in the order of the calls. */
export class Mutex {
  #tail: Promise<unknown> = Promise.resolve();

  run<T>(body: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(body);
    this.#tail = result.then(
      () => undefined,
      // The caller of this body has the error; the next one in line must run all the same.
      () => undefined,
    );
    return result;
  }
}

/** A fixed set of things, each lent to one user at a time, first come first served. */
export class Pool<T> {
  readonly #free: T[];
  readonly #waiting: ((item: T) => void)[] = [];

  constructor(items: readonly T[]) {
    this.#free = [...items];
  }

  async acquire(): Promise<T> {
    const item = this.#free.shift();
    if (item !== undefined) return item;
    return await new Promise<T>((resolve) => this.#waiting.push(resolve));
  }

  release(item: T): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free.push(item);
    else next(item);
  }
}
