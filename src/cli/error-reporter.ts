import type { Command } from 'commander';
import { isVramError, type VramError } from '../base/index.js';
import type { CliIo } from './io.js';
import { type ErrorJson, errorJson, errorLine } from './output.js';
import { stopOf } from './stop.js';
import { withUnits } from './text.js';
import { inOptionWords } from './wording.js';

/** Prints the errors of one command line. */
export class ErrorReporter {
  readonly #io: CliIo;
  #command: Command | null = null;

  constructor(io: CliIo) {
    this.#io = io;
  }

  /** From here on messages name this command's options. */
  about(command: Command): void {
    this.#command = command;
  }

  /** On stderr, in one line; `file` is the one that failed, of several. */
  report(error: unknown, file?: string): void {
    // Work that ended because its output is not read is not printed.
    if (stopOf(this.#io.signal)?.silent && isVramError(error, 'ABORTED')) return;
    const wording = (each: VramError): string =>
      withUnits(inOptionWords(each, this.#command, { values: true }));
    this.#io.stderr(errorLine(error, file, wording));
  }

  /** As JSON documents carry it: no paths, beyond those that the document names by itself. */
  json(error: unknown): ErrorJson {
    return errorJson(error, (each) => inOptionWords(each, this.#command, { values: false }));
  }
}
