import type { Machine } from './machine.js';

const REINSTALL = 'install the package again, or run npm run build:native in a clone of its repository';
const BUILD =
  'npm run build:native in a clone of the repository builds one for this system (a C++ compiler is needed)';

/** No addon was found. `prebuilt` names the platforms that the package carries one for: linux-x64. */
export function noAddon(machine: Machine, prebuilt: readonly string[]): string {
  const { platform, arch, glibc } = machine;
  if (platform !== 'linux') return `CUDA is supported on Linux, not on ${platform}; use webgpu`;
  if (glibc === null) return notOnMusl();
  const carried = prebuilt.length === 0 ? 'none' : `one for ${prebuilt.join(', ')}`;
  return `there is no CUDA addon for ${platform}-${arch}: this package carries ${carried}; use webgpu, or ${BUILD}`;
}

/** The file is not an addon for this machine. `why` completes "the CUDA addon ...". */
export function unfitAddon(why: string): string {
  return `the CUDA addon ${why}; ${REINSTALL}`;
}

/** The system's loader refused the addon; `reason` is its message. */
export function refusedAddon(machine: Machine, reason: string): string {
  if (machine.glibc === null) return `${notOnMusl()} (${reason})`;
  const [, version] = /version `([^']+)' not found/.exec(reason) ?? [];
  if (version === undefined) return `the CUDA addon could not be loaded: ${reason}; ${REINSTALL}`;
  return (
    `the CUDA addon needs ${version}, which this system (glibc ${machine.glibc}) lacks; ` +
    `the one that comes with the package needs glibc 2.28 or newer, and ${BUILD} (${reason})`
  );
}

/** The loaded addon does not match this version of the package. */
export function otherAddon(): string {
  return `the CUDA addon belongs to another version of this package; ${REINSTALL}`;
}

function notOnMusl(): string {
  return (
    'the CUDA addon is for Linux with glibc 2.28 or newer, and this Node runs on another C library (musl); ' +
    'use a system or container image with glibc'
  );
}
