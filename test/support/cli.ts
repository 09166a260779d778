import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { CliContext } from '../../src/cli/context.js';
import type { CliIo } from '../../src/cli/io.js';
import { runCli } from '../../src/cli/run.js';
import { hostBackend } from '../../src/device/host/index.js';
import type { Backend } from '../../src/device/types.js';
import { createPortableEngine } from '../../src/digest/index.js';

export interface CliResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliSetting {
  readonly backends?: readonly Backend[];
  readonly io?: Partial<CliIo>;
}

/** The program that the package has. */
const MAIN = fileURLToPath(new URL('../../dist/bundle/lib/main.js', import.meta.url));

/** Runs a command line in this process, on the host backend unless others are given. */
export async function cli(args: readonly string[], setting: CliSetting = {}): Promise<CliResult> {
  let stdout = '';
  let stderr = '';
  const context: CliContext = {
    io: {
      stdout: (text) => {
        stdout += text;
      },
      stderr: (text) => {
        stderr += text;
      },
      stdoutIsTerminal: false,
      stderrIsTerminal: false,
      columns: 80,
      env: {},
      signal: new AbortController().signal,
      ...setting.io,
    },
    backends: () => setting.backends ?? [hostBackend()],
    engine: () => createPortableEngine('wasm'),
    main: MAIN,
  };
  const code = await runCli(args, context);
  return { code, stdout, stderr };
}

/** Starts the built program. */
export function startProgram(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  as: { readonly uid?: number } = {},
): ChildProcess {
  return spawn(process.execPath, [MAIN, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...as,
  });
}

/** Runs the built program to its end. */
export async function program(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<CliResult> {
  return await ended(startProgram(args, env));
}

/** Collects what a started program says until it ends; a death by signal counts as -1. */
export async function ended(child: ChildProcess): Promise<CliResult> {
  const text = { stdout: '', stderr: '' };
  child.stdout?.on('data', (data: Uint8Array) => {
    text.stdout += new TextDecoder().decode(data);
  });
  child.stderr?.on('data', (data: Uint8Array) => {
    text.stderr += new TextDecoder().decode(data);
  });
  const code = await new Promise<number>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status) => resolve(status ?? -1));
  });
  return { code, ...text };
}
