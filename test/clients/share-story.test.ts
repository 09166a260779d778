import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { ended } from '../support/cli.js';
import { cudaTestbed } from '../support/cuda.js';
import { findPython } from '../support/python.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const bed = await cudaTestbed();
const python = findPython(process.env['PYTHON'] ?? 'python3');
const missing = bed.missing ?? python.missing;

describe(`examples/sharing/story.mjs${missing === null ? '' : ` (NOT RUN: ${missing})`}`, () => {
  it.skipIf(missing !== null)('says what docs/sharing.md shows', { timeout: 60_000 }, async () => {
    if (bed.missing !== null || python.missing !== null) throw new Error('there is no test bed');
    const child = spawn(execPath, [`${ROOT}examples/sharing/story.mjs`], {
      env: { ...process.env, VRAM_RESIDENCY_LIBCUDA: bed.libraryPath, PYTHON: python.python },
    });
    const { code, stdout, stderr } = await ended(child);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const [, shown] =
      /```text\n(worker {2}sealed.*?)```/s.exec(readFileSync(`${ROOT}docs/sharing.md`, 'utf8')) ?? [];
    expect(stdout).toBe(shown);
  });
});
