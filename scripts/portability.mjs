// What the addon and the test driver may need of a system: docs/decisions/addon-glibc.md.
import { readRequirements } from './elf.mjs';

/** Node 20's own binary needs this version, so a lower limit would gain nothing. */
export const OLDEST_GLIBC = '2.28';
/** libgcc_s of GCC 7 and newer has it; systems with glibc 2.28 carry GCC 8's. */
const OLDEST_LIBGCC = '7.0.0';
const LIBRARIES = /^(lib(c|m|dl|pthread|gcc_s)|ld-linux-(x86-64|aarch64))\.so\.\d+$/;

/**
 * The reasons why some system with glibc 2.28 cannot load a shared library; empty if there are none. `bytes` is the whole
 * file. Throws as readRequirements does.
 */
export function portabilityProblems(bytes) {
  const { needed, versions } = readRequirements(bytes);
  return [
    ...needed.filter((name) => !LIBRARIES.test(name)).map((name) => `needs the library ${name}`),
    ...versions
      .filter(({ version }) => !isOldEnough(version))
      .map(({ library, version }) => `needs ${version} of ${library}`),
  ];
}

/** Names that are not a number (GLIBC_PRIVATE, GLIBC_ABI_DT_RELR) and those of libstdc++ are never old enough. */
function isOldEnough(version) {
  const [, name, number] = /^(GLIBC|GCC)_(\d+(?:\.\d+)*)$/.exec(version) ?? [];
  if (number === undefined) return false;
  return compareVersions(number, name === 'GLIBC' ? OLDEST_GLIBC : OLDEST_LIBGCC) <= 0;
}

function compareVersions(a, b) {
  const [left, right] = [a, b].map((text) => text.split('.').map(Number));
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
