import { describe, expect, it } from 'vitest';
import { Sessions } from '../../../src/worker/http/sessions.js';

const DIGEST = Buffer.alloc(32, 7);

describe('sessions', () => {
  it('have random names of 32 bytes, and keep the digest of their token', () => {
    const sessions = new Sessions(() => 0);
    const [first, second] = [sessions.begin(DIGEST), sessions.begin(Buffer.alloc(32, 8))];
    expect(first).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect(first).not.toBe(second);
    expect(sessions.tokenDigestOf(first)).toEqual(DIGEST);
    expect(sessions.tokenDigestOf('other')).toBeNull();
    sessions.end(first);
    expect(sessions.tokenDigestOf(first)).toBeNull();
    expect(sessions.tokenDigestOf(second)).toEqual(Buffer.alloc(32, 8));
  });

  it('end 12 hours after they began, whatever was asked meanwhile', () => {
    let now = 5;
    const sessions = new Sessions(() => now);
    const name = sessions.begin(DIGEST);
    now += 12 * 3_600_000 - 1;
    expect(sessions.tokenDigestOf(name)).toEqual(DIGEST);
    now += 1;
    expect(sessions.tokenDigestOf(name)).toBeNull();
    // It is forgotten, and so stays ended.
    now = 5;
    expect(sessions.tokenDigestOf(name)).toBeNull();
  });

  it('are 256 at most: one more ends the oldest', () => {
    const sessions = new Sessions(() => 0);
    const names = Array.from({ length: 256 }, () => sessions.begin(DIGEST));
    const alive = () => names.filter((name) => sessions.tokenDigestOf(name) !== null);
    expect(alive()).toHaveLength(256);
    sessions.begin(DIGEST);
    expect(alive()).toEqual(names.slice(1));
  });
});
