import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { startProgram } from '../support/cli.js';
import { examplesOf } from '../support/doc-examples.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const run = promisify(execFile);
let folder: string;
let programs: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vram-client-document-'));
  mkdirSync(`${root}.cache`, { recursive: true });
  // Within the package, so that its own name leads to it.
  programs = mkdtempSync(`${root}.cache/client-`);
});
afterEach(() => {
  for (const each of [folder, programs]) rmSync(each, { recursive: true });
});

it('the program of docs/worker.md loads, verifies and removes a model of a worker', async () => {
  const [program] = examplesOf('docs/worker.md');
  const socket = join(folder, 'worker.sock');
  const model = join(folder, 'other.bin');
  writeFileSync(model, Buffer.alloc(1_000_000, 3));
  const args = ['--device', 'host', '--policy', 'any', '--socket', socket, '--root', folder];
  const worker = startProgram(['serve', ...args]);
  try {
    const { stderr } = worker;
    if (stderr === null) throw new Error('no pipe');
    for (let said = ''; !said.includes('listening on'); ) said += String(await once(stderr, 'data'));
    const code = program?.code ?? '';
    expect(code).toContain("'/run/vram-residency/worker.sock'");
    const file = join(programs, 'program.mjs');
    writeFileSync(
      file,
      code.replace('/run/vram-residency/worker.sock', socket).replace('/models/other', model),
    );
    const { stdout } = await run(process.execPath, [file], { timeout: 20_000 });
    expect(stdout).toMatch(/^other is as it was sealed: fsverity-sha256-12:[0-9a-f]{64}\n$/);
  } finally {
    worker.kill('SIGTERM');
    await once(worker, 'exit');
  }
});
