import { existsSync, readdirSync } from 'node:fs';
import { arch, platform } from 'node:process';
import { fileURLToPath } from 'node:url';

/** Resolves to the same folder from src/node/addon/ and from dist/node/addon/. */
const PACKAGE_ROOT = new URL('../../../', import.meta.url);
const PREBUILT = 'native/prebuilt';
const ADDON_FILE = 'vram_residency.node';

/** Where the addon may lie: built here by our script, built here by node-gyp, or in the package. */
export function addonPaths(): readonly string[] {
  // The package has only the last one; in a working tree the local build is newer.
  const folders = ['native/build', 'native/build/Release', `${PREBUILT}/${platform}-${arch}`];
  return folders.map((folder) => fileURLToPath(new URL(`${folder}/${ADDON_FILE}`, PACKAGE_ROOT)));
}

/** The platforms that the package carries an addon for: linux-x64. */
export function prebuiltPlatforms(): readonly string[] {
  const folder = fileURLToPath(new URL(PREBUILT, PACKAGE_ROOT));
  return existsSync(folder) ? readdirSync(folder).sort() : [];
}
