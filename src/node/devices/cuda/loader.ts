import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { arch, platform } from 'node:process';
import { VramError } from '../../../base/index.js';
import { type Addon, NotInstalled } from '../../../device/index.js';
import { addonPaths, prebuiltPlatforms, unfitHeader } from '../../addon/index.js';
import { noAddon, otherAddon, refusedAddon, unfitAddon } from './addon-advice.js';
import { type Machine, thisMachine } from './machine.js';

const FUNCTIONS = [
  'load',
  'driverInfo',
  'driverFiles',
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
  'reserve',
  'writeReserved',
  'closeSink',
  'drain',
  'read',
  'fill',
  'copy',
  'protect',
  'release',
  'abandon',
  'exportMemory',
  'importMemory',
  'loadModule',
  'unloadModule',
  'launch',
] as const satisfies readonly (keyof Addon)[];

/**
 * Loads the first addon that exists. `machine` is called only on failure.
 * Errors: DEVICE_UNAVAILABLE; the message says whether the machine, the file or its version is at fault, and what to do.
 */
export async function loadAddon(
  paths: readonly string[] = addonPaths(),
  machine: () => Machine = thisMachine,
): Promise<Addon> {
  const path = platform === 'linux' ? paths.find((candidate) => existsSync(candidate)) : undefined;
  if (path === undefined) throw unavailable(noAddon(machine(), prebuiltPlatforms()), new NotInstalled());
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

function unavailable(message: string, cause?: unknown): VramError {
  return new VramError('DEVICE_UNAVAILABLE', message, { cause });
}

function isAddon(value: unknown): value is Addon {
  if (typeof value !== 'object' || value === null || !('interfaceVersion' in value)) return false;
  return FUNCTIONS.every((name) => typeof Reflect.get(value, name) === 'function');
}
