import { basename, dirname, isAbsolute, join, relative, sep } from 'node:path';
import { invalidInput } from '../../base/index.js';
import { isMissing, type OpenFile } from './open-file.js';
import { movedMeanwhile, type OpenFolder } from './open-folder.js';

/**
 * Opens a file that a model names. It must lie in the model's folder once links are followed, or in the `blobs` folder
 * of the hub cache that the folder is part of (docs/decisions/hub-cache-links.md). It is opened first and judged by its
 * descriptor, so that links switched meanwhile have no effect.
 *
 * Errors: INVALID_INPUT if it is missing, not a regular file, or out of the folder; SOURCE_MISMATCH if it moved
 * meanwhile.
 */
export async function openInside(folder: OpenFolder, file: string): Promise<OpenFile> {
  const opened = await openNamed(folder, file);
  try {
    const place = await folder.realPathOf(opened, file);
    const parts = partsTo(await folder.realPath(), place);
    if (parts === null) throw invalidInput(file, 'is a link out of the folder of the model');
    // The path alone is not proof: namespaces may give one path to two files.
    if (await folder.holds(opened, parts)) return opened;
    throw movedMeanwhile(file);
  } catch (error) {
    await opened.close();
    throw error;
  }
}

async function openNamed(folder: OpenFolder, file: string): Promise<OpenFile> {
  try {
    return await folder.open(file);
  } catch (error) {
    if (isMissing(error))
      throw invalidInput(file, 'is named by the model but cannot be found in its folder', error);
    throw error;
  }
}

/** The way from the model's folder to one of its files, or to a blob of its hub cache; null to any other place. */
function partsTo(folder: string, place: string): string[] | null {
  const inside = relative(folder, place);
  const leaves = inside === '' || inside === '..' || inside.startsWith(`..${sep}`) || isAbsolute(inside);
  if (!leaves) return inside.split(sep);
  const levels = levelsToCache(folder.split(sep));
  if (levels === null) return null;
  const up = Array<string>(levels).fill('..');
  return dirname(place) === join(folder, ...up, 'blobs') ? [...up, 'blobs', basename(place)] : null;
}

/** How far up from `models--NAME/snapshots/REVISION/…` the folder `models--NAME` is; null in other folders. */
function levelsToCache(parts: readonly string[]): number | null {
  const at = parts.findIndex(
    (part, i) => part === 'snapshots' && parts[i - 1]?.startsWith('models--') && i + 1 < parts.length,
  );
  return at < 0 ? null : parts.length - at;
}
