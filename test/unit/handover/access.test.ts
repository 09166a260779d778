import { describe, expect, it } from 'vitest';
import { type AccessRule, refusal } from '../../../src/handover/access.js';

const OWN = 1000;
const ROOT = 0;
const OTHER = 2000;
const UNMAPPED = 65_534;
const GROUP = 50;
const ONLY_OWN: AccessRule = { uid: OWN, group: null, overflowUid: UNMAPPED };

function peer(uid: number, gid = uid, groups: readonly number[] = []) {
  return { pid: 42, uid, gid, groups };
}

describe('who may connect to a share socket', () => {
  it.each([OWN, ROOT])('user %i: the worker’s own, and root', (uid) => {
    expect(refusal(peer(uid), ONLY_OWN)).toBeNull();
  });

  it('another user is told that only the worker’s user may', () => {
    expect(refusal(peer(OTHER), ONLY_OWN)).toBe('only the user of this worker may connect');
  });

  it('a member of the group, by its first group or another', () => {
    const rule = { ...ONLY_OWN, group: GROUP };
    expect(refusal(peer(OTHER, GROUP), rule)).toBeNull();
    expect(refusal(peer(OTHER, OTHER, [7, GROUP]), rule)).toBeNull();
    expect(refusal(peer(OTHER, OTHER, [7]), rule)).toBe(
      'only members of the group of this socket may connect',
    );
  });

  it('the user id of an unmapped user namespace is nobody’s, not even the worker’s own', () => {
    const told = 'your user id is not known in the user namespace of this worker';
    expect(refusal(peer(UNMAPPED, GROUP), { ...ONLY_OWN, group: GROUP })).toBe(told);
    expect(refusal(peer(UNMAPPED), { ...ONLY_OWN, uid: UNMAPPED })).toBe(told);
    expect(refusal(peer(UNMAPPED), { uid: OWN, group: null })).toBe(told);
  });
});
