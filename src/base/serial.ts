/** Runs pieces of work one after another, in the order in which they were asked for. */
export class Serial {
  #tail: Promise<unknown> = Promise.resolve();

  run<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(work);
    // A failure is its own caller's; the next one starts all the same.
    this.#tail = result.catch(() => undefined);
    return result;
  }
}
