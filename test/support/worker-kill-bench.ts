import { mkdtempSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KillBench } from './worker-kill.js';

/** Borrows the model and holds it. */
const BORROW = `
import sys, time
from vram_residency.share import connect
with connect(sys.argv[1], client="borrower") as client:
    lease = client.lend("m")
    time.sleep(60)
`;
const MODEL_BYTES = 300_000;

/** A folder with a worker's settings and models, and an engine that never answers. */
export async function killBench(
  libraryPath: string,
  python: string,
): Promise<{ readonly bench: KillBench; readonly engine: Server }> {
  const folder = mkdtempSync(join(tmpdir(), 'vram-kill-'));
  const path = (name: string): string => join(folder, name);
  writeFileSync(path('m.bin'), Buffer.alloc(MODEL_BYTES, 7));
  writeFileSync(path('second.bin'), Buffer.alloc(MODEL_BYTES, 8));
  writeFileSync(path('token'), 'secret-of-the-worker-0123456789', { mode: 0o600 });
  const config = {
    device: 'cuda:0',
    policy: 'any',
    socket: path('worker.sock'),
    audit: path('log'),
    tokenFile: path('token'),
    lockDir: path('lock'),
    lockScope: 'container',
    roots: [folder],
    share: { socket: path('share.sock') },
    models: [{ name: 'm', path: path('m.bin'), share: true }],
    engines: [{ model: 'm', socket: path('engine.sock'), weights: 'guarded' }],
  };
  writeFileSync(path('worker.json'), JSON.stringify(config));
  const engine = createServer(() => undefined).listen(path('engine.sock'));
  return { bench: { folder, libraryPath, borrower: { python, script: BORROW } }, engine };
}
