/** A function to time. */
export interface Timed {
  readonly name: string;
  run(): Promise<unknown>;
}

export interface Pair {
  /** Names the pair in records that are compared later. */
  readonly id: string;
  readonly ours: string;
  readonly peer: string;
  readonly rounds: number;
  /** Medians, in milliseconds. */
  readonly oursMs: number;
  readonly peerMs: number;
  /** Median of the rounds' own ratios, peer over ours: above 1, ours is faster. */
  readonly ratio: number;
  /** Lower and upper quartile of the rounds' ratios. */
  readonly ratioLow: number;
  readonly ratioHigh: number;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** By linear interpolation; `part` from 0 to 1. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const place = (sorted.length - 1) * part;
  const lower = sorted[Math.floor(place)] ?? Number.NaN;
  const upper = sorted[Math.ceil(place)] ?? Number.NaN;
  return lower + (upper - lower) * (place - Math.floor(place));
}

/** Alternates both, so that other load on the machine affects both; one uncounted round of each warms up. */
export async function measurePair(
  id: string,
  ours: Timed,
  peer: Timed,
  rounds: number,
  signal: AbortSignal,
): Promise<Pair> {
  await ours.run();
  await peer.run();
  const times = { ours: [] as number[], peer: [] as number[] };
  for (let round = 0; round < rounds; round += 1) {
    signal.throwIfAborted();
    // The order alternates, because each finds the caches as the other left them.
    if (round % 2 === 0) {
      times.ours.push(await elapsed(ours));
      times.peer.push(await elapsed(peer));
    } else {
      times.peer.push(await elapsed(peer));
      times.ours.push(await elapsed(ours));
    }
  }
  const ratios = times.ours.map((ms, round) => (times.peer[round] ?? Number.NaN) / ms);
  return {
    id,
    ours: ours.name,
    peer: peer.name,
    rounds,
    oursMs: median(times.ours),
    peerMs: median(times.peer),
    ratio: median(ratios),
    ratioLow: quantile(ratios, 0.25),
    ratioHigh: quantile(ratios, 0.75),
  };
}

async function elapsed(timed: Timed): Promise<number> {
  const started = performance.now();
  await timed.run();
  return performance.now() - started;
}
