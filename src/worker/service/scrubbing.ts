import type { Scrubber, VramManager } from '../../manager/index.js';

export interface ScrubSettings {
  /** Pause after every shard was checked once. Milliseconds. */
  readonly intervalMs: number;
  /** Bytes hashed in a second; null: a hundredth of what the device was seen to hash. */
  readonly bytesPerSecond: number | null;
}

/** Of the rate at which the device hashes. */
const SHARE = 0.01;
const LEAST_BYTES_PER_SECOND = 512 * 1024;

/** The one scrubber of a worker. It starts with the first model, and heals from the sources. */
export class Scrubbing {
  readonly #manager: VramManager;
  readonly #settings: ScrubSettings | null;
  #scrubber: Scrubber | null = null;
  #bytesPerSecond = 0;
  #stopped = false;

  constructor(manager: VramManager, settings: ScrubSettings | null) {
    this.#manager = manager;
    this.#settings = settings;
  }

  /** Rates are taken from long verifications: short ones show the fixed cost more than the device's rate. */
  async measured(byteLength: number, durationMs: number): Promise<void> {
    if (this.#settings === null || this.#stopped) return;
    const rate =
      this.#settings.bytesPerSecond ?? Math.round((SHARE * byteLength * 1000) / Math.max(durationMs, 1));
    const bytesPerSecond = Math.max(rate, LEAST_BYTES_PER_SECOND);
    // A slightly higher rate is not worth restarting the round.
    if (this.#scrubber !== null && bytesPerSecond < 2 * this.#bytesPerSecond) return;
    this.#bytesPerSecond = bytesPerSecond;
    const before = this.#scrubber;
    this.#scrubber = this.#manager.scrub({
      intervalMs: this.#settings.intervalMs,
      bytesPerSecond,
      heal: true,
    });
    await before?.stop();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#scrubber?.stop();
  }
}
