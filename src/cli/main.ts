#!/usr/bin/env node
import { fileURLToPath } from 'node:url';
import { VramError } from '../base/index.js';
import { createNodeEngine, nodeBackends } from '../node/index.js';
import { concludingCode, EXIT, type ExitCode } from './exit-codes.js';
import { errorLine } from './output.js';
import { runCli } from './run.js';
import { STOP_SIGNALS, Stop, stopOf } from './stop.js';

// Node would exit with 1, which means that weights did not verify. Unawaited promises that reject end here too.
process.on('uncaughtException', (error) => {
  process.stderr.write(errorLine(error));
  process.exit(EXIT.internal);
});

/** Signals so close to the first are its echo. */
const SAME_STOP_MS = 500;

const interruption = new AbortController();
let ended: ExitCode | null = null;

/** What runs is aborted, devices and logs are closed, and the run ends by itself. */
function stop(reason: string, exitCode: ExitCode, options: { readonly silent: boolean }): void {
  if (!interruption.signal.aborted) interruption.abort(new Stop(reason, exitCode, options));
  // Too late to stop anything: only the report changes.
  if (ended !== null) conclude(ended);
}

function conclude(code: ExitCode): void {
  ended = concludingCode([code], stopOf(interruption.signal)?.exitCode ?? null);
  process.exitCode = ended;
}

let stoppedAt = 0;
for (const [signal, exitCode] of Object.entries(STOP_SIGNALS)) {
  process.on(signal, () => {
    if (!interruption.signal.aborted) stoppedAt = performance.now();
    // A second one does not wait for what the first is tidying up. npx passes on what the terminal sent already: that is
    // none.
    else if (performance.now() - stoppedAt > SAME_STOP_MS) process.exit(exitCode);
    stop(signal, exitCode, { silent: false });
  });
}

for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', ({ code = 'unknown' }: NodeJS.ErrnoException) => {
    // Only the first failure counts; a terminal that hung up fails at every line.
    if (interruption.signal.aborted) return;
    // A reader that closed early (`| head`) is not a failure of ours, but neither was the work finished: 0 would say that
    // all is well.
    if (code === 'EPIPE') {
      stop('the reader of the output is gone', EXIT.interrupted, { silent: true });
      return;
    }
    if (stream === process.stdout)
      process.stderr.write(errorLine(new VramError('INVALID_INPUT', `stdout cannot be written: ${code}`)));
    stop('the output cannot be written', EXIT.usage, { silent: true });
  });
}

const code = await runCli(process.argv.slice(2), {
  io: {
    stdout: (text) => process.stdout.write(text),
    stderr: (text) => process.stderr.write(text),
    stdoutIsTerminal: process.stdout.isTTY === true,
    stderrIsTerminal: process.stderr.isTTY === true,
    columns: process.stderr.columns ?? 80,
    env: process.env,
    signal: interruption.signal,
  },
  backends: () => nodeBackends(),
  engine: () => createNodeEngine(),
  main: fileURLToPath(import.meta.url),
});
// A closed output may show only after a line was written to it.
conclude(code);
