import type { Backend } from '../../device/types.js';
import type { DigestEngine } from '../../digest/types.js';
import type { CliIo } from './io.js';

/** What commands work with; tests replace parts of it. */
export interface CliContext {
  readonly io: CliIo;
  /** In the order in which `auto` tries them. */
  readonly backends: () => readonly Backend[];
  readonly engine: () => DigestEngine;
}

/** Adds one command to the program; `done` takes the command's exit code. */
export type AddCommand = (
  program: import('commander').Command,
  context: CliContext,
  done: (code: import('./exit-codes.js').ExitCode) => void,
) => void;
