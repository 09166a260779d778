import { describe, expect, it } from 'vitest';
import { killWriter } from '../unit/node/audit/kill.js';
import { scratch } from '../unit/node/audit/support.js';

describe('a writer that is killed', () => {
  it('[AU-003] 200 times at random moments loses nothing that it acknowledged', async () => {
    const figures = await killWriter(await scratch(), 200);
    console.info('kill -9:', JSON.stringify(figures));
    expect(figures.missing).toBe(0);
    expect(figures.flushedGrouped).toBeGreaterThan(0);
    expect(figures.recoveries).toBe(200);
  }, 1_800_000);
});
