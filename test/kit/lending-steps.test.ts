import { spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bundleKit } from '../../scripts/kit/bundle.mjs';
import { parseStepResult, type StepResult } from '../../scripts/kit/runner/step-result.js';
import { ended } from '../support/cli.js';
import { cudaTestbed } from '../support/cuda.js';
import type { Fault } from '../support/kit.js';
import { findPython, runPython } from '../support/python.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const UNKNOWN = 999;

const bed = await cudaTestbed();
const python = findPython(process.env['PYTHON'] ?? 'python3');
const missing = bed.missing ?? python.missing;
const torchPython = findPython(process.env['VRAM_RESIDENCY_TORCH_PYTHON'] ?? '/usr/bin/python3');

function torchMissing(): string | null {
  if (bed.missing !== null) return bed.missing;
  if (torchPython.missing !== null) return torchPython.missing;
  const { code } = runPython(torchPython.python, ['-I', '-c', 'import torch'], {});
  return code === 0 ? null : 'there is no PyTorch here';
}
const withoutTorch = torchMissing();

/** The kit's steps in a folder laid out as the kit is, without its archive. */
describe(`kit: steps over lent memory${missing === null ? '' : ` (NOT RUN: ${missing})`}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'steps-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  beforeAll(async () => {
    for (const name of ['dist', 'clients', 'node_modules', 'package.json'])
      symlinkSync(join(ROOT, name), join(folder, name));
    await bundleKit(join(folder, 'kit'));
    copyFileSync(join(ROOT, 'scripts/kit/emulated.mjs'), join(folder, 'kit/emulated.mjs'));
  });

  /** `interpreter`: what the step finds as python3. */
  async function run(step: string, interpreter: string, faults: readonly Fault[] = []): Promise<StepResult> {
    if (bed.missing !== null) throw new Error(bed.missing);
    const workFolder = mkdtempSync(join(folder, 'w'));
    const resultFile = join(workFolder, 'result.json');
    mkdirSync(join(workFolder, 'bin'));
    symlinkSync(interpreter, join(workFolder, 'bin/python3'));
    const setting = { device: 0, emulated: true, budgetMs: 5000, resultFile, workFolder };
    const child = spawn(process.execPath, [join(folder, 'kit/steps.mjs'), step], {
      env: {
        PATH: join(workFolder, 'bin'),
        NODE_OPTIONS: `--import ${join(folder, 'kit/emulated.mjs')}`,
        PYTHONDONTWRITEBYTECODE: '1',
        VRAM_RESIDENCY_LIBCUDA: bed.libraryPath,
        VRAM_KIT_STEP: JSON.stringify(setting),
        VRAM_KIT_STEP_NAME: step,
        VRAM_KIT_FAULTS: JSON.stringify(faults),
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    await ended(child);
    return parseStepResult(readFileSync(resultFile, 'utf8'));
  }

  const interpreter = python.missing === null ? python.python : '';

  it.skipIf(missing !== null)('sharing passes with its figures', { timeout: 60_000 }, async () => {
    expect(await run('sharing', interpreter)).toMatchObject({
      status: 'passed',
      reason: null,
      figures: {
        readsEqual: true,
        store: 'CUDA_ERROR_ILLEGAL_ADDRESS',
        ownerUnharmed: true,
        heard: 'damaged',
        lentAgain: true,
        rights: { writeAccess: 'CUDA_SUCCESS', writable: true },
        allocations: [{ bytes: 2 ** 21 }, { bytes: 2 ** 22 }],
      },
    });
  });

  it.skipIf(missing !== null)('survivors passes with its figures', { timeout: 60_000 }, async () => {
    expect(await run('survivors', interpreter)).toMatchObject({
      status: 'passed',
      reason: null,
      figures: {
        releasedUnderMapping: { orphanedBytes: 2 ** 22 },
        ownerKilled: { heard: 'DISCONNECTED', bytesSurvive: true, thirdUnharmed: true },
      },
    });
  });

  it.skipIf(missing !== null)(
    'a driver that exports nothing fails sharing',
    { timeout: 60_000 },
    async () => {
      const fail = [['cuMemExportToShareableHandle', 1, UNKNOWN]] as const;
      const { status, reason } = await run('sharing', interpreter, [{ step: 'sharing', fail }]);
      expect([status, reason]).toEqual(['failed', 'the borrower ended with 1 where it owes an answer']);
    },
  );

  it.skipIf(withoutTorch !== null)(
    `pytorch passes over PyTorch on the CPU${withoutTorch === null ? '' : ` (SKIPPED: ${withoutTorch})`}`,
    { timeout: 60_000 },
    async () => {
      const found = torchPython.missing === null ? torchPython.python : '';
      expect(await run('pytorch', found)).toMatchObject({
        status: 'passed',
        reason: null,
        figures: {
          failed: [],
          on: 'cpu',
          checks: { dlpack: "2 tensors equal the file's" },
          ownerUnharmed: true,
        },
      });
    },
  );

  it.skipIf(missing !== null)('without python3 the steps are skipped, with that reason', async () => {
    for (const step of ['sharing', 'pytorch', 'survivors']) {
      const { status, reason } = await run(step, join(folder, 'absent'));
      expect([step, status, reason]).toEqual([step, 'skipped', 'there is no python3 here']);
    }
  });
});
