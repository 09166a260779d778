import { MAX_INTEGER } from '../base/index.js';
import type { RandomAccess } from './random-access.js';
import type { Refuse } from './refusal.js';

const WINDOW_BYTES = 64 * 1024;
const TWO_32 = 2 ** 32;

/**
 * Reads forwards through part of a file with one window, by default of 64 KiB, in memory. Reads are synchronous and need
 * bytes that are in the window:
 * `if (!cursor.holds(n)) await cursor.fill(n)` loads them, or refuses the file if it ends before.
 */
export class ByteCursor {
  readonly #access: RandomAccess;
  readonly #refuse: Refuse;
  readonly #windowBytes: number;
  #window: Uint8Array = new Uint8Array(0);
  #view: DataView = new DataView(this.#window.buffer);
  #windowStart: number;
  #at: number;

  constructor(access: RandomAccess, offset: number, refuse: Refuse, windowBytes: number = WINDOW_BYTES) {
    this.#windowBytes = windowBytes;
    this.#access = access;
    this.#refuse = refuse;
    this.#windowStart = offset;
    this.#at = offset;
  }

  /** Offset in the file of the next byte. */
  get offset(): number {
    return this.#at;
  }

  /** Bytes from here to the end of the file. */
  get remaining(): number {
    return this.#access.byteLength - this.#at;
  }

  /** Whether the next `length` bytes are in memory. */
  holds(length: number): boolean {
    return this.#at + length <= this.#windowStart + this.#window.length;
  }

  /** Loads the next `length` bytes, and as many more as fit into the window. */
  async fill(length: number): Promise<void> {
    if (length > this.remaining) throw this.#refuse(`ends too early: at byte ${this.#access.byteLength}`);
    const window = await this.#access.read(
      this.#at,
      Math.min(Math.max(length, this.#windowBytes), this.remaining),
    );
    this.#window = window;
    this.#view = new DataView(window.buffer, window.byteOffset, window.length);
    this.#windowStart = this.#at;
  }

  /** The bytes that are in memory, at most `limit`; call fill(1) first if there may be none. Valid until the next fill. */
  held(limit: number): Uint8Array {
    const start = this.#at - this.#windowStart;
    return this.#window.subarray(start, Math.min(this.#window.length, start + limit));
  }

  /** The next `length` bytes, which must be in memory; valid until the next fill. */
  take(length: number): Uint8Array {
    const start = this.#at - this.#windowStart;
    this.#at += length;
    return this.#window.subarray(start, start + length);
  }

  u8(): number {
    const value = this.#view.getUint8(this.#at - this.#windowStart);
    this.#at += 1;
    return value;
  }

  /** Little-endian. */
  u16(): number {
    const value = this.#view.getUint16(this.#at - this.#windowStart, true);
    this.#at += 2;
    return value;
  }

  /** Little-endian. */
  u32(): number {
    const value = this.#view.getUint32(this.#at - this.#windowStart, true);
    this.#at += 4;
    return value;
  }

  /** Little-endian; refuses values above 2^53 - 1, calling them `what`. */
  u64(what: string): number {
    const low = this.u32();
    const value = this.u32() * TWO_32 + low;
    if (value > MAX_INTEGER) throw this.#refuse(`has ${what} beyond 2^53 - 1`);
    return value;
  }

  /** Skips bytes without reading them. */
  skip(length: number): void {
    if (length > this.remaining) throw this.#refuse(`ends too early: at byte ${this.#access.byteLength}`);
    this.#at += length;
  }
}
