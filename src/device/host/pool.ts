/**
 * Wiped memory of released regions, for reuse: its pages are already mapped, and mapping takes ten times as long as
 * filling them. Holds at most `limitBytes`; new segments evict the oldest.
 */
export class HostPool {
  readonly #limitBytes: number;
  /** All zeros; the oldest first. */
  #segments: Uint8Array[] = [];
  #byteLength = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  get byteLength(): number {
    return this.#byteLength;
  }

  /** A segment of exactly this length, all zeros; undefined if there is none. */
  take(length: number): Uint8Array | undefined {
    const at = this.#segments.findLastIndex((segment) => segment.length === length);
    if (at === -1) return undefined;
    this.#byteLength -= length;
    return this.#segments.splice(at, 1)[0];
  }

  /** Keeps a segment, which must be all zeros, if it fits at all. */
  keep(segment: Uint8Array): void {
    if (segment.length > this.#limitBytes) return;
    this.shrink(this.#limitBytes - segment.length);
    this.#segments.push(segment);
    this.#byteLength += segment.length;
  }

  /** Frees the oldest segments until at most `byteLength` bytes are left. */
  shrink(byteLength: number): void {
    while (this.#byteLength > byteLength) this.#byteLength -= this.#segments.shift()?.length ?? 0;
  }
}
