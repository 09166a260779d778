import type { Backend } from '../device/index.js';
import type { DigestEngine } from '../digest/index.js';
import type { ShareTransport } from '../handover/index.js';
import type { ErrorReporter } from './error-reporter.js';
import type { CliIo } from './io.js';

/** What the command line works with; tests replace parts of it. */
export interface CliContext {
  readonly io: CliIo;
  /** In the order in which `auto` tries them. */
  readonly backends: () => readonly Backend[];
  readonly engine: () => DigestEngine;
  /** Default: the addon's sockets. */
  readonly shareTransport?: (() => Promise<ShareTransport>) | undefined;
  /** The program's file, which a benchmark runs as users do. */
  readonly main: string;
}

/** The same for one command. */
export interface CommandContext extends CliContext {
  readonly reporter: ErrorReporter;
}

/** Adds one command to the program; `done` takes the command's exit code. */
export type AddCommand = (
  program: import('commander').Command,
  context: CommandContext,
  done: (code: import('./exit-codes.js').ExitCode) => void,
) => void;
