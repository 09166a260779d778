import { realpath } from 'node:fs/promises';
import { isAbsolute, sep } from 'node:path';
import { invalidInput } from '../../base/index.js';
import { type Model, type ModelFormat, openModel, placeOfFile } from '../../node/index.js';
import type { SourceModel } from './source-model.js';

/**
 * A model below one of the roots, which are real paths. Each file is judged by its descriptor, and the same open file
 * is sealed: one that was replaced meanwhile is SOURCE_MISMATCH. Errors: INVALID_INPUT, SOURCE_MISMATCH.
 */
export async function modelBelow(
  roots: readonly string[],
  path: string,
  format: ModelFormat | 'auto' | undefined,
): Promise<SourceModel> {
  if (!isAbsolute(path)) throw invalidInput('path', 'must be absolute');
  // Checked before it is opened, so that a caller cannot probe for files outside.
  requireBelow(roots, await realpath(path).catch(() => null));
  const model = await openModel(path, { format });
  for (const file of model.index === null ? model.shards : [model.index, ...model.shards]) {
    requireBelow(roots, await placeOfFile(file));
  }
  return sourceModel(model, path);
}

/** A root may itself be a model's folder. */
function requireBelow(roots: readonly string[], real: string | null): void {
  const isBelow = (root: string): boolean => {
    const folder = root.endsWith(sep) ? root : root + sep;
    return real !== null && `${real}${sep}`.startsWith(folder);
  };
  if (!roots.some(isBelow)) {
    throw invalidInput('path', "does not exist, or is not below one of the worker's model roots");
  }
}

function sourceModel(model: Model, path: string): SourceModel {
  const { shards, byteLength, format } = model;
  return {
    label: path.slice(path.lastIndexOf(sep) + 1),
    byteLength,
    files: model,
    isOnnx: format === 'onnx',
    shards: shards.map(({ label, byteLength: bytes, open }) => ({
      label,
      byteLength: bytes,
      open: () => open(),
    })),
  };
}
