import { vi } from 'vitest';
import { stride } from './stride.js';

const { VRAM_RESIDENCY_PROPERTY_RUNS: requested } = process.env;
const QUICK_TIMEOUT_MS = 60_000;
const LONG_TIMEOUT_MS = 6 * 3_600_000;

// For the tests of the file that imports this.
vi.setConfig({ testTimeout: requested === undefined ? QUICK_TIMEOUT_MS : LONG_TIMEOUT_MS });

/**
 * Cases of a property: `quick` of them, or as many as VRAM_RESIDENCY_PROPERTY_RUNS says for the long run; a tenth in
 * mutation testing.
 */
export function propertyRuns(quick: number): number {
  if (requested === undefined) return Math.ceil(quick / stride(10));
  const runs = Number(requested);
  if (!Number.isSafeInteger(runs) || runs < 1) {
    throw new Error('VRAM_RESIDENCY_PROPERTY_RUNS must be a positive integer');
  }
  return runs;
}
