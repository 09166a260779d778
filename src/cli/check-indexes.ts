import { VramError } from '../base/index.js';
import type { DigestEngine } from '../digest/index.js';
import { openShard } from '../node/index.js';
import type { CheckIndex } from './check-files.js';
import type { CliContext } from './context.js';
import { digestSource } from './digest-source.js';

/**
 * Reads each index again, which must still be the file that named the shards, and compares its digest. `refused` gets
 * what is wrong with one: SOURCE_MISMATCH if it is not what the list says, or was changed; ABORTED.
 */
export async function checkIndexes(
  indexes: readonly CheckIndex[],
  { engine, io }: CliContext,
  refused: (file: string, error: unknown) => void,
): Promise<void> {
  if (indexes.length === 0) return;
  const hashing = engine();
  try {
    for (const each of indexes) {
      try {
        await checkIndex(each, hashing, io.signal);
      } catch (error) {
        refused(each.file, error);
      }
    }
  } finally {
    await hashing.close();
  }
}

async function checkIndex(
  { index, expected }: CheckIndex,
  engine: DigestEngine,
  signal: AbortSignal,
): Promise<void> {
  const source = await openShard(index);
  try {
    const { sha256, fsverity } = await digestSource(source, engine, { sha256: true, signal });
    if (expected === `sha256:${sha256}` || expected === fsverity) return;
    throw new VramError('SOURCE_MISMATCH', `the index "${index.label}" is not what was expected of it`);
  } finally {
    await source.close();
  }
}
