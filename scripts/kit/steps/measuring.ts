import { median } from '../../../src/cli/bench/measure.js';

/** Gigabytes (10^9 bytes) per second, three digits; null for 0 ms. */
export function gigabytesPerSecond(bytes: number, ms: number): number | null {
  return ms > 0 ? rounded(bytes / ms / 1e6) : null;
}

/** Four significant digits: more would claim more than was measured. */
export function rounded(value: number): number {
  return Number(value.toPrecision(4));
}

export async function elapsedMs(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

/** Median of `repeats` runs, in milliseconds, after one that warms up and is not counted. */
export async function medianMs(repeats: number, work: () => Promise<unknown>): Promise<number> {
  await work();
  const times: number[] = [];
  for (let i = 0; i < repeats; i++) times.push(await elapsedMs(work));
  return median(times);
}

/**
 * Fits ms = fixed + bytes * perByte to measured points, by least squares over relative errors: the small sizes determine
 * the fixed part, the large ones the slope. Needs two sizes.
 */
export function fitLine(points: readonly { readonly bytes: number; readonly ms: number }[]): {
  readonly fixedMs: number;
  readonly msPerByte: number;
} {
  let [w, wx, wy, wxx, wxy] = [0, 0, 0, 0, 0];
  for (const { bytes: x, ms: y } of points) {
    const weight = 1 / (y * y);
    w += weight;
    wx += weight * x;
    wy += weight * y;
    wxx += weight * x * x;
    wxy += weight * x * y;
  }
  const msPerByte = (w * wxy - wx * wy) / (w * wxx - wx * wx);
  return { fixedMs: (wy - msPerByte * wx) / w, msPerByte };
}

/** Powers of two from `first` to `last`, both included. */
export function powersOfTwo(first: number, last: number): number[] {
  const sizes: number[] = [];
  for (let size = first; size <= last; size *= 2) sizes.push(size);
  return sizes;
}
