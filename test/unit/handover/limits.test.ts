import { describe, expect, it } from 'vitest';
import { checkLimits } from '../../../src/handover/limits.js';

describe('the limits of a share server', () => {
  it('are the documented ones unless the caller sets others', () => {
    const defaults = {
      pauseLimitMs: 5000,
      releaseLimitMs: 30_000,
      helloLimitMs: 5000,
      idleLimitMs: 60_000,
      receiveLimitMs: 30_000,
      verifiedEveryMs: 5000,
      maxConnections: 64,
    };
    expect(checkLimits({})).toEqual(defaults);
    expect(checkLimits({ pauseLimitMs: 1 })).toEqual({ ...defaults, pauseLimitMs: 1 });
    expect(checkLimits({ releaseLimitMs: 3_600_000 })).toEqual({ ...defaults, releaseLimitMs: 3_600_000 });
  });
});
