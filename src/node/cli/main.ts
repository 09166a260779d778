#!/usr/bin/env node
import { nodeBackends } from '../backends.js';
import { createNodeEngine } from '../digest/index.js';
import { EXIT } from './exit-codes.js';
import { errorLine } from './output.js';
import { runCli } from './run.js';

// Node would exit with 1, which means that weights did not verify. Promises that nobody waits for end here too.
process.on('uncaughtException', (error) => {
  process.stderr.write(errorLine(error));
  process.exit(EXIT.internal);
});

const interruption = new AbortController();
process.on('SIGINT', () => {
  // A second interrupt does not wait for what the first one is tidying up.
  if (interruption.signal.aborted) process.exit(EXIT.interrupted);
  interruption.abort();
});
// A reader that closed early (`| head`) is no failure of ours, but neither was the work finished: 0 would say that all is well.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(EXIT.interrupted);
  throw error;
});

process.exitCode = await runCli(process.argv.slice(2), {
  io: {
    stdout: (text) => process.stdout.write(text),
    stderr: (text) => process.stderr.write(text),
    stderrIsTerminal: process.stderr.isTTY === true,
    columns: process.stderr.columns ?? 80,
    env: process.env,
    signal: interruption.signal,
  },
  backends: () => nodeBackends(),
  engine: () => createNodeEngine(),
});
