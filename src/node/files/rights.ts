import { realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { checkInteger } from '../../base/index.js';
import { hasCode } from './system-error.js';

/** Owner and permissions of a file, from its descriptor. */
export interface Rights {
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

const OTHERS = 0o077;
const GROUP_READS = 0o040;
const GROUP_WRITES = 0o020;
const EVERYBODY_WRITES = 0o002;
const STICKY = 0o1000;
const ROOT = 0;
/** The largest valid user id: (uid_t)-1 is reserved. */
export const MAX_UID = 2 ** 32 - 2;

/** The option `trustOwner`; null where only this user and root are trusted. Errors: INVALID_INPUT. */
export function checkTrustOwner(uid: number | undefined): number | null {
  return uid === undefined ? null : checkInteger('trustOwner', uid, 0, MAX_UID);
}

/**
 * Why a file that holds a secret is refused, and what to do; null where it is accepted. It must be the user's own, root's
 * or `trustOwner`'s, and private. On Windows, which has a different rights model, the result is always null.
 */
export function secrecyFault(rights: Rights, trustOwner: number | null): string | null {
  const owner = ownerFault(rights, trustOwner);
  if (owner !== null) return owner;
  const user = process.geteuid?.();
  const open = rights.mode & OTHERS;
  if (user === undefined || open === 0) return null;
  // A process that is not root can read root's file through its group alone, as with secrets that Kubernetes mounts
  // under fsGroup, or through an access list, which the mode shows as rights of root's group, as with systemd's
  // credentials.
  const reachable = rights.gid === ROOT || isOurGroup(rights.gid);
  if (open === GROUP_READS && rights.uid === ROOT && user !== ROOT && reachable) return null;
  return 'can be read or written by others; make it private (chmod 600)';
}

/**
 * Why a file or directory is not trusted because of its owner, or null. `trustOwner`: a user who is trusted beside this one
 * and root.
 */
export function ownerFault({ uid }: Rights, trustOwner: number | null): string | null {
  const user = process.geteuid?.();
  if (user === undefined || uid === user || uid === ROOT || uid === trustOwner) return null;
  return (
    `belongs to another user (uid ${uid}); give it to yours (chown), run as that user, or trust it (trustOwner: ` +
    `${uid})`
  );
}

/**
 * Why names in a directory cannot be trusted, and what to do; null where they can. Anyone who can write a directory, or
 * one above it, can replace any name in it with a link, a pipe or another file. A directory is trusted that is this
 * user's, root's or `trustOwner`'s, and that neither all users nor a group that this process is not in may write. Above
 * it, sticky directories such as /tmp are trusted too, because other users cannot rename our files there, and root's
 * with any group. This holds along the path as written and along the path with its links resolved. Missing directories
 * are skipped. Errors: those of the system.
 */
export async function directoryFault(path: string, trustOwner: number | null): Promise<string | null> {
  if (process.geteuid === undefined) return null;
  return (await faultAlong(path, trustOwner)) ?? (await faultAlong(await realPathOf(path), trustOwner));
}

async function faultAlong(path: string, trustOwner: number | null): Promise<string | null> {
  for (let at = path, above = false; ; at = dirname(at), above = true) {
    const rights = await rightsOf(at);
    const fault =
      rights === null ? null : above ? faultAbove(rights, trustOwner) : faultOf(rights, trustOwner);
    if (fault !== null)
      return above ? `lies below a directory that ${fault} ("namei -l" shows which)` : fault;
    if (dirname(at) === at) return null;
  }
}

/** Without links, as far as it exists. */
async function realPathOf(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if (!hasCode(error, 'ENOENT') || dirname(path) === path) throw error;
    return join(await realPathOf(dirname(path)), basename(path));
  }
}

function faultOf(rights: Rights, trustOwner: number | null): string | null {
  const owner = ownerFault(rights, trustOwner);
  if (owner !== null) return owner;
  if ((rights.mode & EVERYBODY_WRITES) !== 0)
    return 'can be written by everybody; choose another, or remove that right (chmod o-w)';
  if ((rights.mode & GROUP_WRITES) !== 0 && !isOurGroup(rights.gid)) {
    const group = `a group that this process is not in (gid ${rights.gid})`;
    return `can be written by ${group}; choose another, or remove that right (chmod g-w)`;
  }
  return null;
}

function faultAbove(rights: Rights, trustOwner: number | null): string | null {
  const fault = faultOf(rights, trustOwner);
  if (fault === null || ownerFault(rights, trustOwner) !== null) return fault;
  if ((rights.mode & STICKY) !== 0) return null;
  return rights.uid === ROOT && (rights.mode & EVERYBODY_WRITES) === 0 ? null : fault;
}

function isOurGroup(gid: number): boolean {
  return gid === process.getegid?.() || (process.getgroups?.().includes(gid) ?? false);
}

async function rightsOf(path: string): Promise<Rights | null> {
  try {
    return await stat(path);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return null;
    throw error;
  }
}
