/** A fixed set of items, each lent to one user at a time, first come, first served. */
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
