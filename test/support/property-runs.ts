const { VRAM_RESIDENCY_PROPERTY_RUNS: wanted } = process.env;

/** Cases of a property: `quick` of them, or as many as VRAM_RESIDENCY_PROPERTY_RUNS says for the long run. */
export function propertyRuns(quick: number): number {
  if (wanted === undefined) return quick;
  const runs = Number(wanted);
  if (!Number.isSafeInteger(runs) || runs < 1) {
    throw new Error('VRAM_RESIDENCY_PROPERTY_RUNS must be a positive integer');
  }
  return runs;
}

/** Milliseconds that a property may take: long runs take as long as they take. */
export const PROPERTY_TIMEOUT_MS = wanted === undefined ? 30_000 : 6 * 3_600_000;
