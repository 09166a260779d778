import { mkdir, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { hasCode } from './system-error.js';

/**
 * Makes a directory and those above it that are not there. Node's own recursive mkdir never ends where the system says of
 * a name that it is not there and does not make it either, as in /proc. Errors: what the system says.
 */
export async function makeDirectories(path: string, mode: number): Promise<void> {
  const missing: string[] = [];
  for (let at = resolve(path); !(await exists(at)) && at !== dirname(at); at = dirname(at))
    missing.unshift(at);
  for (const each of missing) {
    try {
      await mkdir(each, { mode });
    } catch (error) {
      // Another process may have made it meanwhile.
      if (!hasCode(error, 'EEXIST')) throw error;
    }
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false;
    throw error;
  }
}
