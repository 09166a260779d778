import { checkBytes, invalidInput, VramError } from '../base/index.js';

/** Enforces the order of calls on a DigestStream and that exactly the announced number of bytes arrives. */
export class AnnouncedLength {
  readonly #byteLength: number;
  #received = 0;
  #state: 'open' | 'finished' | 'aborted' = 'open';

  constructor(byteLength: number) {
    this.#byteLength = byteLength;
  }

  get aborted(): boolean {
    return this.#state === 'aborted';
  }

  /** Errors: INVALID_INPUT, ABORTED, SOURCE_MISMATCH (the chunk would pass the announced end). */
  add(chunk: Uint8Array): void {
    this.#checkOpen();
    checkBytes('chunk', chunk);
    if (chunk.length > this.#byteLength - this.#received) {
      this.#state = 'aborted';
      throw new VramError(
        'SOURCE_MISMATCH',
        `more than the announced ${this.#byteLength} bytes came: at least ${this.#received + chunk.length}`,
      );
    }
    this.#received += chunk.length;
  }

  /** Errors: INVALID_INPUT, ABORTED, SOURCE_MISMATCH. */
  end(): void {
    this.#checkOpen();
    if (this.#received !== this.#byteLength) {
      this.#state = 'aborted';
      throw new VramError(
        'SOURCE_MISMATCH',
        `${this.#received} bytes came, ${this.#byteLength} were announced`,
      );
    }
    this.#state = 'finished';
  }

  /** Also after the end: work that is still under way then stops. */
  abort(): void {
    this.#state = 'aborted';
  }

  /** Errors: ABORTED. */
  checkNotAborted(): void {
    if (this.aborted) throw new VramError('ABORTED', 'the digest was aborted');
  }

  #checkOpen(): void {
    this.checkNotAborted();
    if (this.#state === 'finished') throw invalidInput('stream', 'has been finished: start a new one');
  }
}
