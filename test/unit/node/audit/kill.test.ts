import { describe, expect, it } from 'vitest';
import { killWriter } from './kill.js';
import { scratch } from './support.js';

describe('a writer that is killed', () => {
  // SIGKILL takes the process, not the machine: what the kernel was given survives. The order of fsync is another test's.
  it('[AU-003] 10 times at random moments loses nothing that it acknowledged', async () => {
    const figures = await killWriter(await scratch(), 10);
    console.info('kill -9:', JSON.stringify(figures));
    expect(figures.missing).toBe(0);
    expect(figures.acknowledgedCritical).toBeGreaterThan(0);
    expect(figures.recoveries).toBe(10);
  }, 120_000);
});
