import { existsSync } from 'node:fs';
import type { Figure } from '../runner/report.js';
import { Failure, kitPath, Skip, type StepContext } from './context.js';
import { parseDocument } from './json.js';
import { endInWords, isAbsent, type ProgramResult, runProgram } from './program.js';

/** probe.py: the shipped PTX by python3 and ctypes alone. */
export async function probe(context: StepContext): Promise<void> {
  const maxGiB = context.affordable(4 * 2 ** 30) / 2 ** 30;
  const run = await python([
    'probe.py',
    '--device',
    String(context.setting.device),
    '--max-gib',
    String(maxGiB),
  ]);
  if (run.stdout.trim() === '') throw new Failure(`probe.py ended with ${endInWords(run)}`);
  const document = parseDocument(run.stdout, 'probe.py');
  // What parseDocument gives is JSON.
  for (const [name, value] of Object.entries(document)) context.figure(name, value as Figure);
  if (run.code !== 0) throw new Failure(`probe.py ended with ${endInWords(run)}`);
}

/** Runs a Python program of the kit, named from the folder of its programs, over the shipped PTX. Errors: Skip where there is no python3. */
async function python([program = '', ...args]: readonly string[]): Promise<ProgramResult> {
  if (!existsSync(kitPath(program))) throw new Failure(`${program} is not in this kit`);
  try {
    return await runProgram('python3', [kitPath(program), kitPath('../cuda/vram.ptx'), ...args]);
  } catch (error) {
    if (isAbsent(error)) throw new Skip('there is no python3 here');
    throw error;
  }
}
