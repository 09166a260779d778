import { spawn, spawnSync } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const NO_COMPILER = 3;
const OLDEST_PYTHON = [3, 9] as const;

/** A Python and the test driver for it, or why there is neither. */
export type PythonTestbed =
  | { readonly missing: null; readonly python: string; readonly libraryPath: string }
  | { readonly missing: string };

/** What a program wrote, and its exit code. */
export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** `PYTHON` names an interpreter, else `python3`. The test driver is compiled if need be. */
export function pythonTestbed(name = process.env['PYTHON'] ?? 'python3'): PythonTestbed {
  const found = findPython(name);
  if (found.missing !== null) return found;
  const built = spawnSync(process.execPath, [`${root}scripts/build-emulator.mjs`], { encoding: 'utf8' });
  if (built.status === NO_COMPILER) return { missing: built.stderr.trim() };
  const libraryPath = built.stdout.trim().split('\n').at(-1);
  if (built.status !== 0 || libraryPath === undefined) {
    throw new Error(`build-emulator.mjs failed:\n${built.stdout}${built.stderr}`);
  }
  return { missing: null, python: found.python, libraryPath };
}

/** The interpreter itself: a version manager's shim would cost its start each time. */
export function findPython(
  name: string,
): { readonly missing: null; readonly python: string } | { readonly missing: string } {
  const script = 'import sys; print(*sys.version_info[:2], sys.executable)';
  const asked = spawnSync(name, ['-c', script], { encoding: 'utf8' });
  const answer = /^(\d+) (\d+) (.+)$/.exec(asked.stdout?.trim() ?? '');
  if (asked.status !== 0 || answer === null) return { missing: `there is no ${name}` };
  const [major, minor] = [Number(answer[1]), Number(answer[2])];
  const [oldestMajor, oldestMinor] = OLDEST_PYTHON;
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) {
    return { missing: null, python: answer[3] ?? name };
  }
  return { missing: `${name} is Python ${major}.${minor}; ${OLDEST_PYTHON.join('.')} is needed` };
}

/** Runs Python in the repository's root, at most `timeoutMs`. */
export function runPython(
  python: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
  timeoutMs = 60_000,
): Outcome {
  const { status, stdout, stderr, error } = spawnSync(python, args, {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1', ...environment },
    timeout: timeoutMs,
    maxBuffer: 64 << 20,
  });
  if (error !== undefined) throw error;
  return { code: status, stdout, stderr };
}

/** The same in a folder of the repository, without blocking the event loop: vitest gives up a worker silent for a minute. */
export async function startPython(
  python: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
  folder: string,
  timeoutMs: number,
): Promise<Outcome> {
  const child = spawn(python, args, {
    cwd: `${root}${folder}`,
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1', ...environment },
    timeout: timeoutMs,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [stdout, stderr, code] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    new Promise<number | null>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', resolve);
    }),
  ]);
  return { code, stdout, stderr };
}
