import { spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type CliResult, ended } from './cli.js';

export const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
/** A user id that no passwd entry has. */
export const NOBODY_KNOWN = 54_321;

/** Why the program cannot be run as another user here; null where it can. */
export function noOtherUser(): string | null {
  if (process.geteuid?.() !== 0) return 'only root can run programs as another user';
  const read = `require('node:fs').accessSync(${JSON.stringify(MAIN)})`;
  const { status } = spawnSync(process.execPath, ['-e', read], {
    uid: NOBODY_KNOWN,
    gid: NOBODY_KNOWN,
    cwd: '/',
  });
  return status === 0 ? null : 'another user cannot read this clone';
}

/** Why no file system can be mounted for a test alone; null where one can. */
export function noMounts(): string | null {
  const { status } = spawnSync('unshare', ['-m', 'mount', '-t', 'tmpfs', 'none', '/mnt']);
  return status === 0 ? null : 'needs unshare(1) and the right to mount';
}

/** Runs the built program in a bare environment. */
export async function bare(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  as: { readonly uid?: number; readonly gid?: number } = {},
): Promise<CliResult> {
  return await ended(
    spawn(process.execPath, [MAIN, ...args], { env, cwd: '/', stdio: ['ignore', 'pipe', 'pipe'], ...as }),
  );
}

/** Runs shell words, of which `$RUN` is the built program, where mounts are seen by nobody else. */
export async function shell(script: string, env: Readonly<Record<string, string>> = {}): Promise<CliResult> {
  const words = ['-m', 'sh', '-c', script];
  const program = `${process.execPath} ${MAIN}`;
  return await ended(
    spawn('unshare', words, {
      env: { PATH: process.env['PATH'] ?? '', RUN: program, ...env },
      cwd: '/',
      stdio: ['ignore', 'pipe', 'pipe'],
    }),
  );
}
