import type { Peer } from './port.js';

/** The user id that the kernel reports for a user that this user namespace does not map (`/proc/sys/kernel/overflowuid`). */
const DEFAULT_OVERFLOW_UID = 65_534;
const ROOT_UID = 0;

/** Who may connect. The kernel enforces the mode of the socket file as well. */
export interface AccessRule {
  /** The user of this process. */
  readonly uid: number;
  /** Members of this group may connect too. */
  readonly group: number | null;
  readonly overflowUid?: number | undefined;
}

/** Why this peer is refused; null if it is not. */
export function refusal({ uid, gid, groups }: Peer, rule: AccessRule): string | null {
  const { overflowUid = DEFAULT_OVERFLOW_UID } = rule;
  if (uid === overflowUid) return 'your user id is not known in the user namespace of this worker';
  if (uid === rule.uid || uid === ROOT_UID) return null;
  if (rule.group === null) return 'only the user of this worker may connect';
  if (gid === rule.group || groups.includes(rule.group)) return null;
  return 'only members of the group of this socket may connect';
}
