import { existsSync } from 'node:fs';
import type { Figure } from '../runner/report.js';
import { Failure, kitPath, Skip } from './context.js';
import { parseDocument } from './json.js';
import { isAbsent, type ProgramResult, runProgram } from './program.js';

/** Runs a Python program of the kit; its path is relative to the folder of programs. Errors: Skip without python3. */
export async function runPython(program: string, args: readonly string[]): Promise<ProgramResult> {
  const path = kitPath(program);
  if (!existsSync(path)) throw new Failure(`${program} is not in this kit`);
  try {
    return await runProgram('python3', [path, ...args]);
  } catch (error) {
    if (isAbsent(error)) throw new Skip('there is no python3 here');
    throw error;
  }
}

/** The JSON document that a program printed, as figures. Errors: Failure. */
export function figuresOf(
  run: ProgramResult,
  program: string,
): readonly (readonly [name: string, value: Figure])[] {
  // parseDocument returns JSON values only.
  return Object.entries(parseDocument(run.stdout, program)) as [string, Figure][];
}
