import { hasFunctions, optionalAddon } from './addon/index.js';

/** A file that this process holds alone, until it releases it or ends, however it ends. */
export interface FileLock {
  /** Safe to call twice. */
  release(): void;
}

/**
 * Takes a file that one process at a time holds, and makes it where there is none; never waits. `held` where another one
 * has it, with the process id that it wrote into the file. Errors: what the system says.
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
