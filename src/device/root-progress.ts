import { BLOCK_BYTES } from '../digest/index.js';
import type { RootOptions } from './types.js';

/** Reports progress to the caller of Region.root(); passed to the run in place of the caller's options. */
export class RootProgress {
  readonly signal: AbortSignal | undefined;
  readonly #byteLength: number;
  readonly #onProgress: RootOptions['onProgress'];

  constructor(byteLength: number, { signal, onProgress }: RootOptions) {
    this.signal = signal;
    this.#byteLength = byteLength;
    this.#onProgress = onProgress;
  }

  /** `blocks`: hashed so far, from the first one on. All of them count only once the run has been proved. */
  readonly onHashed = (blocks: number): void => {
    const bytes = blocks * BLOCK_BYTES;
    if (bytes < this.#byteLength) this.#report(bytes);
  };

  /** The run has proved that it hashed every block. */
  proved(): void {
    this.#report(this.#byteLength);
  }

  #report(bytes: number): void {
    if (this.signal?.aborted !== true) this.#onProgress?.(bytes);
  }
}

/** How a tree run is observed. */
export interface RunWatch {
  readonly signal?: AbortSignal | undefined;
  /** Called with ever more blocks, each time the device is known to have hashed them. */
  readonly onHashed?: ((blocks: number) => void) | undefined;
}
