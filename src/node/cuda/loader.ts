import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { arch, platform } from 'node:process';
import { fileURLToPath } from 'node:url';
import type { Addon } from '../../device/cuda/index.js';
import { VramError } from '../../errors.js';

/** The same from src/node/cuda/ and from dist/node/cuda/. */
const PACKAGE_ROOT = new URL('../../../', import.meta.url);
const ADDON_FILE = 'vram_residency.node';
const FUNCTIONS = [
  'load',
  'driverInfo',
  'devices',
  'open',
  'deviceInfo',
  'memoryInfo',
  'synchronize',
  'close',
  'allocate',
  'allocationInfo',
  'pointerInfo',
  'write',
  'drain',
  'read',
  'fill',
  'copy',
  'protect',
  'release',
  'loadModule',
  'unloadModule',
  'launch',
] as const satisfies readonly (keyof Addon)[];

/** Where the addon may lie: the one that came with the package, then those that were built here, by our script or by node-gyp. */
export function addonPaths(): readonly string[] {
  // The package carries the last alone; in a working tree what was built here is newer.
  const folders = ['native/build', 'native/build/Release', `native/prebuilt/${platform}-${arch}`];
  return folders.map((folder) => fileURLToPath(new URL(`${folder}/${ADDON_FILE}`, PACKAGE_ROOT)));
}

/** Loads the addon. Errors: DEVICE_UNAVAILABLE, saying whether the platform, the build or the file is at fault. */
export async function loadAddon(paths: readonly string[] = addonPaths()): Promise<Addon> {
  if (platform !== 'linux') {
    throw new VramError('DEVICE_UNAVAILABLE', `CUDA is supported on Linux, not on ${platform}; use webgpu`);
  }
  const path = paths.find((candidate) => existsSync(candidate));
  if (path === undefined) {
    throw new VramError(
      'DEVICE_UNAVAILABLE',
      `the CUDA addon is not built for ${platform}-${arch}; npm run build:native builds it (a C++ compiler is needed)`,
    );
  }
  let loaded: unknown;
  try {
    loaded = createRequire(import.meta.url)(path);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : 'an unknown error';
    throw new VramError('DEVICE_UNAVAILABLE', `the CUDA addon could not be loaded: ${reason}`, { cause });
  }
  if (!isAddon(loaded)) {
    throw new VramError(
      'DEVICE_UNAVAILABLE',
      'the CUDA addon is of another version; npm run build:native builds it',
    );
  }
  return loaded;
}

function isAddon(value: unknown): value is Addon {
  if (typeof value !== 'object' || value === null || !('interfaceVersion' in value)) return false;
  return FUNCTIONS.every((name) => typeof Reflect.get(value, name) === 'function');
}
