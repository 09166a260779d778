import { realpath } from 'node:fs/promises';
import type { ModelFile } from './model-types.js';
import { OpenFile } from './open-file.js';
import { placeOf } from './open-folder.js';
import { openUnchanged } from './source-facts.js';

/**
 * A model file's real location, from its descriptor where the system can, so that a link that is switched meanwhile does
 * not count. Errors: SOURCE_MISMATCH if the file is not what openModel() saw; INVALID_INPUT.
 */
export async function placeOfFile(file: ModelFile): Promise<string> {
  const source = await openUnchanged(file.facts);
  try {
    return source instanceof OpenFile
      ? await placeOf(source.descriptor, source.path)
      : await realpath(source.path);
  } finally {
    await source.close();
  }
}
