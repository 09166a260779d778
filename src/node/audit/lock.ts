import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { utf8 } from '../../audit/bytes.js';
import { isVramError, VramError } from '../../errors.js';
import { isJsonObject, type JsonValue, parseStrictJson } from '../../strict-json.js';
import { type AuditFileSystem, hasCode, readSmall, writeFully } from './file-system.js';
import type { ProcessIdentity, ProcessTable } from './process-identity.js';

/** `lock.<generation>`: the highest one counts. */
const LOCK_NAME = /^lock\.([1-9]\d{0,14})$/;
const MAX_LOCK_BYTES = 4_096;

interface LockContent extends ProcessIdentity {
  readonly released: boolean;
}

/** The right to write a log. */
export interface WriterLock {
  /** Lets the next writer in. Safe to call again. */
  release(): Promise<void>;
}

/**
 * Takes the log for one writer. Every lock ever held has a generation of its own, and the next one is made with link(2), which is atomic
 * and fails where the name is taken: of two processes that find the same dead lock one gets the next generation and the other none. A
 * released lock stays, marked, so that generations never go back and a slow competitor cannot take an old number again.
 * Errors: AUDIT_FAILED where another writer holds it or may hold it.
 */
export async function acquireLock(
  fs: AuditFileSystem,
  dir: string,
  processes: ProcessTable,
): Promise<WriterLock> {
  const self = await processes.self();
  const newest = await newestGeneration(fs, dir);
  if (newest > 0) await checkFree(fs, dir, newest, self, processes);

  const generation = newest + 1;
  const path = join(dir, `lock.${generation}`);
  await place(fs, dir, generation, { ...self, released: false });
  const highest = await newestGeneration(fs, dir);
  if (highest !== generation) {
    // A competitor was two steps ahead, and its predecessor's number had been tidied away.
    await removeIfThere(fs, path);
    throw held('another process has just taken it');
  }
  await removeOlder(fs, dir, generation);

  let released = false;
  return {
    async release() {
      if (released) return;
      released = true;
      const temporary = `${path}.released`;
      await writeLock(fs, temporary, { ...self, released: true });
      await fs.rename(temporary, path);
      await fs.syncDirectory(dir);
    },
  };
}

/** True while a writer may be at work: what a reader needs to know to forgive an unfinished line. */
export async function isHeld(fs: AuditFileSystem, dir: string, processes: ProcessTable): Promise<boolean> {
  const newest = await newestGeneration(fs, dir);
  if (newest === 0) return false;
  try {
    await checkFree(fs, dir, newest, await processes.self(), processes);
    return false;
  } catch (error) {
    if (isVramError(error, 'AUDIT_FAILED')) return true;
    throw error;
  }
}

/** Throws unless the lock was released or its holder is certainly dead. */
async function checkFree(
  fs: AuditFileSystem,
  dir: string,
  generation: number,
  self: ProcessIdentity,
  processes: ProcessTable,
): Promise<void> {
  const lock = await readLock(fs, join(dir, `lock.${generation}`));
  if (lock === null) throw held(`lock.${generation} cannot be read; remove it if no writer is running`);
  if (lock.released) return;
  if (lock.host !== self.host) throw held(`by a process on host ${JSON.stringify(lock.host)}`);
  // Nothing of an earlier boot of this host is running.
  if (lock.bootId !== self.bootId && lock.bootId !== null && self.bootId !== null) return;
  if (lock.pidNamespace !== self.pidNamespace) {
    throw held('by a process in another PID namespace (another container?)');
  }
  if (await processes.isAlive(lock)) throw held(`by process ${lock.pid}`);
}

function held(by: string): VramError {
  return new VramError('AUDIT_FAILED', `the audit log has a writer already: ${by}`);
}

async function newestGeneration(fs: AuditFileSystem, dir: string): Promise<number> {
  const generations = (await fs.list(dir)).map((name) => Number(LOCK_NAME.exec(name)?.[1] ?? 0));
  return Math.max(0, ...generations);
}

async function place(
  fs: AuditFileSystem,
  dir: string,
  generation: number,
  content: LockContent,
): Promise<void> {
  // Linked only when whole, so no reader ever sees half a lock.
  const temporary = join(dir, `lock.${generation}.${content.pid}.${randomUUID()}.tmp`);
  try {
    await writeLock(fs, temporary, content);
    await fs.link(temporary, join(dir, `lock.${generation}`));
    await fs.syncDirectory(dir);
  } catch (error) {
    if (hasCode(error, 'EEXIST')) throw held('another process has just taken it');
    throw error;
  } finally {
    await removeIfThere(fs, temporary);
  }
}

async function writeLock(fs: AuditFileSystem, path: string, content: LockContent): Promise<void> {
  const file = await fs.open(path, 'replace');
  try {
    await writeFully(file, utf8(`${JSON.stringify({ v: 1, ...content })}\n`), 0);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function removeOlder(fs: AuditFileSystem, dir: string, generation: number): Promise<void> {
  for (const name of await fs.list(dir)) {
    const older = Number(LOCK_NAME.exec(name)?.[1] ?? generation);
    if (older < generation) await removeIfThere(fs, join(dir, name));
  }
}

async function removeIfThere(fs: AuditFileSystem, path: string): Promise<void> {
  try {
    await fs.remove(path);
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  }
}

/** null for what is no lock of ours. */
async function readLock(fs: AuditFileSystem, path: string): Promise<LockContent | null> {
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
  const { host, bootId, pidNamespace, pid, startTime, released } = value;
  if (typeof host !== 'string' || typeof pid !== 'number' || !Number.isSafeInteger(pid) || pid < 1)
    return null;
  if (!isTextOrNull(bootId) || !isTextOrNull(pidNamespace) || !isTextOrNull(startTime)) return null;
  return { host, bootId, pidNamespace, pid, startTime, released: released === true };
}

function isTextOrNull(value: JsonValue | undefined): value is string | null {
  return value === null || typeof value === 'string';
}
