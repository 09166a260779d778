import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ended, startProgram } from '../support/cli.js';
import { cudaTestbed } from '../support/cuda.js';
import { findPython, runPython } from '../support/python.js';

/** A small recogniser of speech, with every weight in its file. */
const MODEL = 'node_modules/@ricky0123/vad-web/dist/silero_vad_v5.onnx';
const { VRAM_RESIDENCY_ONNXRUNTIME_PYTHON: name = 'python3' } = process.env;
const bed = await cudaTestbed();
const python = findPython(name);

function lacking(): string | null {
  if (bed.missing !== null) return bed.missing;
  if (python.missing !== null) return python.missing;
  const { code } = runPython(python.python, ['-c', 'import onnxruntime'], {});
  return code === 0 ? null : `${name} lacks onnxruntime`;
}
const missing = lacking();

describe(`examples/sharing/onnxruntime_lent.py${missing === null ? '' : ` (NOT RUN: ${missing})`}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'ort-'));
  chmodSync(folder, 0o700);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.skipIf(missing !== null)('opens a session over lent weights', { timeout: 120_000 }, async () => {
    if (bed.missing !== null || python.missing !== null) throw new Error('there is no test bed');
    const socket = join(folder, 's');
    const driver = { VRAM_RESIDENCY_LIBCUDA: bed.libraryPath };
    const worker = startProgram(
      ['lend', `speech=${MODEL}`, '--socket', socket, '--device', 'cuda:0', '--policy', 'any', '--json'],
      { ...driver, XDG_STATE_HOME: folder },
    );
    const end = ended(worker);
    try {
      await Promise.race([new Promise((resolve) => worker.stdout?.once('data', resolve)), end]);
      const { code, stdout, stderr } = await ended(
        spawn(python.python, ['examples/sharing/onnxruntime_lent.py', socket, 'speech', MODEL], {
          env: { ...process.env, ...driver, PYTHONPATH: 'clients/python/src' },
        }),
      );
      expect({ code, inputs: stdout.trim().split('\n') }, stderr).toEqual({
        code: 0,
        inputs: [
          expect.stringMatching(/^input /),
          expect.stringMatching(/^state /),
          expect.stringMatching(/^sr /),
        ],
      });
    } finally {
      worker.kill('SIGTERM');
      await end;
    }
  });
});
