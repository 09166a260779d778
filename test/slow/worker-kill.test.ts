import { rmSync } from 'node:fs';
import type { Server } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cli } from '../support/cli.js';
import { cudaTestbed } from '../support/cuda.js';
import { findPython } from '../support/python.js';
import { type KillBench, killIn, PHASES, startAnew } from '../support/worker-kill.js';
import { killBench } from '../support/worker-kill-bench.js';

const bed = await cudaTestbed();
const python = findPython(process.env['PYTHON'] ?? 'python3');
const missing = bed.missing ?? python.missing;
/** Kills in each of the six phases: 204 in all. */
const ROUNDS = 34;
const ROUND_MS = 60_000;

describe(`a worker that is killed${missing === null ? '' : ` (NOT RUN: ${missing})`}`, () => {
  let bench: KillBench;
  let engine: Server;
  beforeAll(async () => {
    if (bed.missing !== null || python.missing !== null) return;
    ({ bench, engine } = await killBench(bed.libraryPath, python.python));
  });
  afterAll(() => {
    if (missing !== null) return;
    engine.closeAllConnections();
    engine.close();
    rmSync(bench.folder, { recursive: true });
  });

  it.skipIf(missing !== null)(
    'leaves lock, sockets and log to the next one, whatever it was doing',
    { timeout: ROUND_MS * (1 + ROUNDS * PHASES.length) },
    async () => {
      for (let round = 0; round < ROUNDS; round++) {
        // A little later each time, so that the long run hits every step of a phase.
        for (const phase of PHASES) await killIn(bench, phase, 20 + ((round * 37) % 400));
      }
      const { status, code, locks } = await startAnew(bench);
      expect(status).toMatchObject({
        state: 'ready',
        reservations: 0,
        executions: { queued: 0, running: 0 },
        share: { models: ['m'], leases: 0 },
        models: [{ name: 'm', generation: 1, state: 'ready' }],
      });
      expect(code).toBe(143);
      expect(locks).toHaveLength(1);
      const log = ['audit', 'verify', join(bench.folder, 'log'), '--token-file', join(bench.folder, 'token')];
      const verified = await cli(log, { io: { env: { XDG_STATE_HOME: join(bench.folder, 'state') } } });
      expect(verified.stdout).toContain('OK');
      expect(verified.code).toBe(0);
    },
  );
});
