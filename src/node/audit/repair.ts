import { join } from 'node:path';
import {
  type AuditFile,
  type AuditFileSystem,
  readChunks,
  readSmall,
  replaceFile,
  targetOfTemporary,
  writeFully,
} from '../files/index.js';
import { segmentPath } from './layout.js';
import type { Survey, TornTail } from './survey.js';

/** Larger than any segment, and so than any tail of one. */
const MAX_COMPARED_BYTES = 128_000_000;
const NEWLINE = Uint8Array.of(0x0a);

/**
 * Repairs a log's end as the survey found it: saves and truncates an unfinished tail, adds a missing newline, and
 * removes segments without a record and unfinished temporary files. What is saved is on stable storage before anything
 * is truncated. Resolves to the name of the saved file, or null.
 */
export async function repairLog(fs: AuditFileSystem, dir: string, survey: Survey): Promise<string | null> {
  const { torn, segment, emptyStems } = survey;
  const tornFile = torn === null ? null : await saveTorn(fs, dir, torn);
  if (torn !== null && !emptyStems.includes(torn.stem)) {
    await withFile(fs, segmentPath(dir, torn.stem), async (file) => {
      await file.truncate(torn.offset);
      await file.sync();
    });
  }
  for (const stem of emptyStems) await fs.remove(segmentPath(dir, stem));
  const left = await removeTemporaries(fs, dir);
  if (emptyStems.length + left > 0) await fs.syncDirectory(dir);
  if (segment !== null) {
    await withFile(fs, segmentPath(dir, segment.stem), async (file) => {
      if (survey.newlineMissing) await writeFully(file, NEWLINE, segment.bytes - 1);
      // The last writer may have died before its fsync: new records must not follow unsynced ones.
      await file.sync();
    });
  }
  return tornFile;
}

/**
 * Removes temporary files that a crash left. Those of locks belong to the processes that made them. Resolves to their
 * number.
 */
async function removeTemporaries(fs: AuditFileSystem, dir: string): Promise<number> {
  const left = (await fs.list(dir)).filter((name) => {
    const target = targetOfTemporary(name);
    return target !== null && !target.startsWith('lock.');
  });
  for (const name of left) await fs.remove(join(dir, name));
  return left.length;
}

/** A segment's bytes as they will be once its log is repaired. A chunk is valid until the next one is requested. */
export async function* repairedChunks(
  fs: AuditFileSystem,
  dir: string,
  stem: string,
  { segment, newlineMissing }: Pick<Survey, 'segment' | 'newlineMissing'>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const goesOn = segment?.stem === stem;
  let left = goesOn ? segment.bytes - (newlineMissing ? 1 : 0) : Infinity;
  for await (const chunk of readChunks(fs, segmentPath(dir, stem))) {
    if (left <= 0) break;
    yield chunk.subarray(0, Math.min(chunk.length, left));
    left -= chunk.length;
  }
  if (goesOn && newlineMissing) yield NEWLINE;
}

async function saveTorn(fs: AuditFileSystem, dir: string, torn: TornTail): Promise<string> {
  const stem = `torn-${String(torn.seq).padStart(16, '0')}`;
  const bytes = await tailOf(fs, dir, torn);
  for (let copy = 1; ; copy++) {
    const name = copy === 1 ? `${stem}.bin` : `${stem}.${copy}.bin`;
    const there = await readSmall(fs, join(dir, name), MAX_COMPARED_BYTES);
    if (there === null) {
      await replaceFile(fs, join(dir, name), bytes);
      await fs.syncDirectory(dir);
      return name;
    }
    // An interrupted repair has already saved it.
    if (there.length === bytes.length && there.every((byte, index) => byte === bytes[index])) return name;
  }
}

async function tailOf(fs: AuditFileSystem, dir: string, torn: TornTail): Promise<Uint8Array> {
  const bytes = new Uint8Array(torn.bytes);
  let done = 0;
  for await (const chunk of readChunks(fs, segmentPath(dir, torn.stem), torn.offset)) {
    bytes.set(chunk.subarray(0, bytes.length - done), done);
    done += chunk.length;
    if (done >= bytes.length) break;
  }
  return bytes;
}

async function withFile(
  fs: AuditFileSystem,
  path: string,
  work: (file: AuditFile) => Promise<void>,
): Promise<void> {
  const file = await fs.open(path, 'update');
  try {
    await work(file);
  } finally {
    await file.close();
  }
}
