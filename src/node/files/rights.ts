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
/** What (uid_t)-1 leaves. */
export const MAX_UID = 2 ** 32 - 2;

/** The option `trustOwner`; null where only this user and root are trusted. Errors: INVALID_INPUT. */
export function checkTrustOwner(uid: number | undefined): number | null {
  return uid === undefined ? null : checkInteger('trustOwner', uid, 0, MAX_UID);
}

/**
 * Why a file that holds a secret is refused, and what to do; null where it is accepted. It must be the user's own, root's
 * or `trustOwner`'s, and private. Windows keeps such rights elsewhere: there the answer is always null.
 */
export function secrecyFault(rights: Rights, trustOwner: number | null): string | null {
  const owner = ownerFault(rights, trustOwner);
  if (owner !== null) return owner;
  const user = process.geteuid?.();
  const open = rights.mode & OTHERS;
  if (user === undefined || open === 0) return null;
  // Root's file reaches a process that is not root by its group alone: so are the secrets of Kubernetes mounted under
  // fsGroup. Or by an access list, which the mode shows as what root's own group may do: so are systemd's credentials.
  const reachable = rights.gid === ROOT || isOurGroup(rights.gid);
  if (open === GROUP_READS && rights.uid === ROOT && user !== ROOT && reachable) return null;
  return 'can be read or written by others; make it private (chmod 600)';
}

/**
 * Why a file or directory is not trusted for who owns it, or null. `trustOwner`: a user who is trusted beside this one
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
 * user's, root's or `trustOwner`'s, and that neither everybody nor a group that this process is not in may write. Above
 * it sticky ones are trusted too, such as /tmp, in which nobody else can rename what is ours, and root's with whatever
 * group. So it is along the path as it is written, and along the one that its links lead to. Directories that are not
 * there are passed over. Errors: what the system says.
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

/** Without links, as far as it is there. */
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
    return 'can be written by everybody; choose another, or take that away (chmod o-w)';
  if ((rights.mode & GROUP_WRITES) !== 0 && !isOurGroup(rights.gid)) {
    const group = `a group that this process is not in (gid ${rights.gid})`;
    return `can be written by ${group}; choose another, or take that away (chmod g-w)`;
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
