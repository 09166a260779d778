import type { Stats } from 'node:fs';
import { lstat, realpath } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/**
 * Where systems keep the NVIDIA driver: the library folders with everything below them (Debian's multiarch folders lie
 * there), those that NVIDIA's container toolkit fills, NixOS, and CUDA's forward compatibility package.
 */
const SYSTEM_FOLDERS = [
  '/lib',
  '/lib32',
  '/lib64',
  '/usr/lib',
  '/usr/lib32',
  '/usr/lib64',
  '/usr/local/nvidia/lib',
  '/usr/local/nvidia/lib64',
  '/run/opengl-driver/lib',
  '/usr/local/cuda/compat',
] as const;
const DRIVER = 'libcuda.so.1';
const WRITABLE_BY_OTHERS = 0o022;
const ROOT = 0;

/** The file system calls that are used; replaced in tests. */
export interface Paths {
  lstat(path: string): Promise<Pick<Stats, 'uid' | 'mode' | 'isSymbolicLink'>>;
  realpath(path: string): Promise<string>;
}

/**
 * Why these files of the driver need not be the system's own; completes "the driver ..."; null if every one of them lies
 * where systems keep their driver, or is one of `trusted` or in such a folder, or has a path that only root can change:
 * each component is root's, and neither its group nor others may write to it.
 *
 * The environment decides which file the loader finds (`LD_LIBRARY_PATH`), so the file counts, not the requested name.
 */
export async function driverDoubt(
  files: readonly string[],
  trusted: readonly string[],
  paths: Paths = { lstat, realpath },
): Promise<string | null> {
  if (files.length === 0)
    return 'cannot be identified by its file: the system does not report where its code was loaded from';
  let places: readonly Place[] | null = null;
  for (const file of files) {
    if (!file.startsWith('/')) return 'runs code that no file backs';
    places ??= await systemPlaces(trusted, paths);
    if (places.some((holds) => holds(file))) continue;
    const weakness = await weaknessOf(file, paths);
    if (weakness !== null)
      return `was loaded from ${file}, ${weakness}; to trust a driver there, name it in driverPaths`;
  }
  return null;
}

type Place = (file: string) => boolean;

async function systemPlaces(trusted: readonly string[], paths: Paths): Promise<readonly Place[]> {
  const places: Place[] = [];
  for (const folder of [...SYSTEM_FOLDERS, ...trusted]) {
    places.push(below(folder));
    // The loaded file is known by its real path, and such a folder may be a link.
    const real = await realPathOf(folder, paths);
    if (real !== null) places.push(below(real));
  }
  for (const folder of SYSTEM_FOLDERS) {
    // So may the driver in it (NixOS), whose other libraries lie beside it.
    const driver = await realPathOf(join(folder, DRIVER), paths);
    if (driver !== null) places.push((file) => dirname(file) === dirname(driver));
  }
  return places;
}

/** The path itself, and everything in it where it is a folder. */
function below(path: string): Place {
  const folder = path.endsWith('/') ? path : `${path}/`;
  return (file) => file === path || file.startsWith(folder);
}

async function realPathOf(path: string, paths: Paths): Promise<string | null> {
  try {
    return await paths.realpath(path);
  } catch {
    // Most systems have some of these folders; what cannot be resolved is skipped.
    return null;
  }
}

/** Why users other than root can replace the file at this path; null if they cannot. */
async function weaknessOf(file: string, paths: Paths): Promise<string | null> {
  const names = file.split('/').slice(1);
  for (let length = 0; length <= names.length; length++) {
    const path = `/${names.slice(0, length).join('/')}`;
    let stats: Awaited<ReturnType<Paths['lstat']>>;
    try {
      stats = await paths.lstat(path);
    } catch {
      return 'which is no longer there';
    }
    if (stats.isSymbolicLink()) return `where ${path} has become a link`;
    if (stats.uid !== ROOT) return `where ${path} is not root's`;
    if ((stats.mode & WRITABLE_BY_OTHERS) !== 0) return `where users other than root can write to ${path}`;
  }
  return null;
}
