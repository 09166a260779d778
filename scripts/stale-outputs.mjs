import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const OUTPUT = /\.(?:js|d\.ts)(?:\.map)?$/;

/**
 * Removes from `outputs` what the compiler wrote for files that `sources` no longer has, and folders left empty. Leaves the
 * folder `others` alone, which the compiler does not write. Returns the removed paths.
 */
export function removeStaleOutputs(sources, outputs, others) {
  const removed = [];
  if (!existsSync(outputs)) return removed;
  for (const entry of readdirSync(outputs, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
      .slice(outputs.length)
      .replace(/^[/\\]/, '');
    if (others !== undefined && /^[^/\\]*/.exec(path)?.[0] === others) continue;
    if (!entry.isFile() || !OUTPUT.test(path) || existsSync(join(sources, path.replace(OUTPUT, '.ts'))))
      continue;
    rmSync(join(outputs, path));
    removed.push(path);
  }
  removeEmptyFolders(outputs);
  return removed;
}

/** Whether the folder is empty afterwards. */
function removeEmptyFolders(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && removeEmptyFolders(path)) rmSync(path, { recursive: true });
  }
  return readdirSync(folder).length === 0;
}
