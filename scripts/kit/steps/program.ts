import { spawn } from 'node:child_process';

export interface ProgramResult {
  /** Exit code; null if a signal ended it. */
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** More bytes than any program of the kit prints. */
const MAX_OUTPUT = 16 * 2 ** 20;

/**
 * Runs a program to its end and resolves to its output. Its stderr also goes to the step's log. The runner's time limit
 * kills the whole group, so there is no limit here. Errors: the program cannot be started (ENOENT, EACCES), or prints
 * more than 16 MiB.
 */
export async function runProgram(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<ProgramResult> {
  const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let tooMuch = false;
  const collect = (
    stream: NodeJS.ReadableStream,
    chunks: Buffer[],
    copy: NodeJS.WritableStream | null,
  ): void => {
    let bytes = 0;
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      copy?.write(chunk);
      if (bytes <= MAX_OUTPUT) chunks.push(chunk);
      else {
        tooMuch = true;
        child.kill('SIGKILL');
      }
    });
  };
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  collect(child.stdout, stdout, null);
  collect(child.stderr, stderr, process.stderr);
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (exit, by) => resolve([exit, by]));
  });
  if (tooMuch) throw new Error(`${command} printed more than ${MAX_OUTPUT} bytes`);
  return { code, signal, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() };
}

/** Whether a failure to start means that the program is missing or may not be run. */
export function isAbsent(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'EACCES');
}

/** How a program ended, in words, with the last line it printed. */
export function endInWords({ code, signal, stderr, stdout }: ProgramResult): string {
  const how = signal === null ? `exit code ${code}` : `signal ${signal}`;
  const said = (stderr.trim() === '' ? stdout : stderr).trim().split('\n').at(-1)?.slice(0, 300) ?? '';
  return said === '' ? how : `${how}: ${said}`;
}
