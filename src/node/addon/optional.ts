import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { arch, platform } from 'node:process';
import { unfitHeader } from './header.js';
import { addonPaths } from './paths.js';

/**
 * The addon for optional use; null where it is missing or does not fit. The command `devices` reports the reason.
 */
export function optionalAddon(): unknown {
  const path = platform === 'linux' ? addonPaths().find((candidate) => existsSync(candidate)) : undefined;
  if (path === undefined) return null;
  try {
    if (unfitHeader(path, arch) !== null) return null;
    const addon: unknown = createRequire(import.meta.url)(path);
    return addon;
  } catch {
    return null;
  }
}

/** Whether it has these functions. */
export function hasFunctions<Name extends string>(
  value: unknown,
  names: readonly Name[],
): value is Readonly<Record<Name, (...args: never[]) => unknown>> {
  if (typeof value !== 'object' || value === null) return false;
  return names.every((name) => typeof Reflect.get(value, name) === 'function');
}
