import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import {
  isJsonObject,
  isVramError,
  type JsonValue,
  parseStrictJson,
  utf8,
  VramError,
} from '../../base/index.js';
import { type AuditFileSystem, hasCode, readSmall, writeFully } from '../files/index.js';
import type { ProcessIdentity, ProcessTable } from './process-identity.js';

/** `lock.<generation>` is held, or was until its holder died; `.free` was released. The highest generation counts. */
const LOCK_NAME = /^lock\.([1-9]\d{0,14})(\.free)?$/;
const MAX_LOCK_BYTES = 4_096;

/** The right to write a log. */
export interface WriterLock {
  /** Releases the log to the next writer. Safe to call again. */
  release(): Promise<void>;
}

/**
 * Takes the log for one writer. Every lock ever held has a separate generation, and the next one is made with link(2),
 * which is atomic and fails if the name is taken: of two processes that find the same dead lock only one gets the
 * next generation. A released lock stays under its other name, so that generations only grow and a slow competitor
 * cannot reuse an old number. Errors: AUDIT_FAILED where another writer holds it or may hold it.
 */
export async function acquireLock(
  fs: AuditFileSystem,
  dir: string,
  processes: ProcessTable,
): Promise<WriterLock> {
  const self = await processes.self();
  const newest = await newestLock(fs, dir);
  if (newest.generation > 0 && !newest.free) await checkDead(fs, dir, newest.generation, self, processes);

  const generation = newest.generation + 1;
  const path = join(dir, `lock.${generation}`);
  let released = false;
  const release = async (): Promise<void> => {
    if (released) return;
    await fs.rename(path, `${path}.free`);
    released = true;
    await fs.syncDirectory(dir);
  };
  const temporary = await place(fs, dir, generation, self);
  try {
    await removeIfThere(fs, temporary);
    await fs.syncDirectory(dir);
    const highest = await newestLock(fs, dir);
    if (highest.generation !== generation || highest.free) {
      // A competitor was two steps ahead, and its predecessor's file had been removed.
      throw held('another process has just taken it');
    }
    await removeOlder(fs, dir, generation);
  } catch (error) {
    if (isVramError(error)) await removeIfThere(fs, path);
    else await release();
    throw error;
  }
  return {
    // Tried twice, so that a transient failure does not keep the log locked until this process ends.
    release: () => release().catch(release),
  };
}

/** True while a writer may be active: then an unfinished line is not damage. */
export async function isHeld(fs: AuditFileSystem, dir: string, processes: ProcessTable): Promise<boolean> {
  const { generation, free } = await newestLock(fs, dir);
  if (generation === 0 || free) return false;
  try {
    await checkDead(fs, dir, generation, await processes.self(), processes);
    return false;
  } catch (error) {
    if (isVramError(error, 'AUDIT_FAILED')) return true;
    throw error;
  }
}

/** Throws unless the lock's holder is certainly dead. */
async function checkDead(
  fs: AuditFileSystem,
  dir: string,
  generation: number,
  self: ProcessIdentity,
  processes: ProcessTable,
): Promise<void> {
  const lock = await readLock(fs, join(dir, `lock.${generation}`));
  if (lock === null) throw held(`lock.${generation} cannot be read; remove it if no writer is running`);
  if (lock.host !== self.host) throw held(`by a process on host ${JSON.stringify(lock.host)}`);
  // No process survives a reboot of its host.
  if (lock.bootId !== self.bootId && lock.bootId !== null && self.bootId !== null) return;
  if (lock.pidNamespace !== self.pidNamespace) {
    throw held('by a process in another PID namespace (another container?)');
  }
  if (await processes.isAlive(lock)) throw held(`by process ${lock.pid}`);
}

function held(by: string): VramError {
  return new VramError('AUDIT_FAILED', `the audit log already has a writer: ${by}`);
}

async function newestLock(
  fs: AuditFileSystem,
  dir: string,
): Promise<{ readonly generation: number; readonly free: boolean }> {
  let generation = 0;
  let free = false;
  for (const name of await fs.list(dir)) {
    const [, digits, mark] = LOCK_NAME.exec(name) ?? [];
    const found = Number(digits ?? 0);
    if (found < generation || found === 0) continue;
    // Acquired and released at once: a slow competitor took a used number, and gives up when it sees this.
    free = mark !== undefined || (found === generation && free);
    generation = found;
  }
  return { generation, free };
}

/**
 * Linked only when complete, so no reader sees a partial lock. Returns the file's temporary name, which the caller
 * removes.
 */
async function place(
  fs: AuditFileSystem,
  dir: string,
  generation: number,
  content: ProcessIdentity,
): Promise<string> {
  const temporary = join(dir, `lock.${generation}.${content.pid}.${randomUUID()}.tmp`);
  try {
    const file = await fs.open(temporary, 'create');
    try {
      await writeFully(file, utf8(`${JSON.stringify({ v: 1, ...content })}\n`), 0);
      await file.sync();
    } finally {
      await file.close();
    }
    await fs.link(temporary, join(dir, `lock.${generation}`));
    return temporary;
  } catch (error) {
    await removeIfThere(fs, temporary);
    if (hasCode(error, 'EEXIST')) throw held('another process has just taken it');
    throw error;
  }
}

/** Older locks, and leftovers of attempts to make one. */
async function removeOlder(fs: AuditFileSystem, dir: string, generation: number): Promise<void> {
  for (const name of await fs.list(dir)) {
    const [, digits] = /^lock\.([1-9]\d{0,14})(?:\.free|\.\d+\.[0-9a-f-]+\.tmp)?$/.exec(name) ?? [];
    if (digits !== undefined && Number(digits) < generation) await removeIfThere(fs, join(dir, name));
  }
}

async function removeIfThere(fs: AuditFileSystem, path: string): Promise<void> {
  try {
    await fs.remove(path);
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  }
}

/** null for other files. */
async function readLock(fs: AuditFileSystem, path: string): Promise<ProcessIdentity | null> {
  let value: JsonValue;
  try {
    const bytes = await readSmall(fs, path, MAX_LOCK_BYTES);
    if (bytes === null) return null;
    value = parseStrictJson(new TextDecoder().decode(bytes));
  } catch (error) {
    if (isVramError(error) || error instanceof RangeError) return null;
    throw error;
  }
  if (!isJsonObject(value)) return null;
  const { host, bootId, pidNamespace, pid, startTime } = value;
  if (typeof host !== 'string' || typeof pid !== 'number' || !Number.isSafeInteger(pid) || pid < 1)
    return null;
  if (!isTextOrNull(bootId) || !isTextOrNull(pidNamespace) || !isTextOrNull(startTime)) return null;
  return { host, bootId, pidNamespace, pid, startTime };
}

function isTextOrNull(value: JsonValue | undefined): value is string | null {
  return value === null || typeof value === 'string';
}
