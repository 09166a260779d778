import { hasFunctions, optionalAddon } from './addon/index.js';

/** A file that this process has locked until it releases the lock or ends, in whatever way. */
export interface FileLock {
  /** Safe to call twice. */
  release(): void;
}

/**
 * Locks a file that one process at a time can hold, and creates it if missing; never waits. `held` if another process has
 * it, with the process id that it wrote into the file. Errors: the system's.
 */
export type LockFile = (path: string) => FileLock | { readonly held: true; readonly holder: number | null };

interface LockAddon {
  lockFile(path: string): { readonly lock: object | null; readonly holder: number | null };
  closeDescriptor(descriptor: object): void;
}

/** Null without the addon: Node's own modules lock no files. */
export function fileLocker(): LockFile | null {
  const addon = optionalAddon();
  if (!isLockAddon(addon)) return null;
  return (path) => {
    const { lock, holder } = addon.lockFile(path);
    return lock === null ? { held: true, holder } : { release: () => addon.closeDescriptor(lock) };
  };
}

function isLockAddon(value: unknown): value is LockAddon {
  return hasFunctions(value, ['lockFile', 'closeDescriptor'] satisfies (keyof LockAddon)[]);
}
