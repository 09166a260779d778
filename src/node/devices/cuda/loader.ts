import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { arch, platform } from 'node:process';
import { fileURLToPath } from 'node:url';
import { VramError } from '../../../base/index.js';
import type { Addon } from '../../../device/index.js';
import { noAddon, otherAddon, refusedAddon, unfitAddon } from './addon-advice.js';
import { unfitHeader } from './addon-file.js';
import { type Machine, thisMachine } from './machine.js';

/** The same from src/node/devices/cuda/ and from dist/node/devices/cuda/. */
const PACKAGE_ROOT = new URL('../../../../', import.meta.url);
const PREBUILT = 'native/prebuilt';
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

/** Where the addon may lie: built here by our script, built here by node-gyp, or in the package. */
export function addonPaths(): readonly string[] {
  // The package carries the last alone; in a working tree what was built here is newer.
  const folders = ['native/build', 'native/build/Release', `${PREBUILT}/${platform}-${arch}`];
  return folders.map((folder) => fileURLToPath(new URL(`${folder}/${ADDON_FILE}`, PACKAGE_ROOT)));
}

/**
 * Loads the first addon that exists. `machine` is asked on failure alone.
 * Errors: DEVICE_UNAVAILABLE; the message says whether the machine, the file or its version is at fault, and what to do.
 */
export async function loadAddon(
  paths: readonly string[] = addonPaths(),
  machine: () => Machine = thisMachine,
): Promise<Addon> {
  const path = platform === 'linux' ? paths.find((candidate) => existsSync(candidate)) : undefined;
  if (path === undefined) throw unavailable(noAddon(machine(), prebuiltPlatforms()));
  let loaded: unknown;
  try {
    const unfit = unfitHeader(path, arch);
    if (unfit !== null) throw unavailable(unfitAddon(unfit));
    loaded = createRequire(import.meta.url)(path);
  } catch (cause) {
    if (cause instanceof VramError) throw cause;
    const reason = cause instanceof Error ? cause.message : 'an unknown error';
    throw unavailable(refusedAddon(machine(), reason), cause);
  }
  if (!isAddon(loaded)) throw unavailable(otherAddon());
  return loaded;
}

/** The platforms that the package carries an addon for: linux-x64. */
function prebuiltPlatforms(): readonly string[] {
  const folder = fileURLToPath(new URL(PREBUILT, PACKAGE_ROOT));
  return existsSync(folder) ? readdirSync(folder).sort() : [];
}

function unavailable(message: string, cause?: unknown): VramError {
  return new VramError('DEVICE_UNAVAILABLE', message, { cause });
}

function isAddon(value: unknown): value is Addon {
  if (typeof value !== 'object' || value === null || !('interfaceVersion' in value)) return false;
  return FUNCTIONS.every((name) => typeof Reflect.get(value, name) === 'function');
}
