/**
 * 1: everywhere but in mutation testing (scripts/mutate.mjs), whose thousands of runs try only each `sparse`-th place of
 * what `npm test` tries in full.
 */
export function stride(sparse: number): number {
  return process.env['VRAM_RESIDENCY_MUTATE'] === undefined ? 1 : sparse;
}
