/** Runs pieces of work one after another, in the order of the calls. */
export class Serial {
  #tail: Promise<unknown> = Promise.resolve();

  run<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(work);
    // A failure is reported to its own caller; the next piece starts regardless.
    this.#tail = result.catch(() => undefined);
    return result;
  }
}
