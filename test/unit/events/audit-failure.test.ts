import { describe, expect, test } from 'vitest';
import { VramError } from '../../../src/base/index.js';
import { withAuditFailure } from '../../../src/events/index.js';

const failure = new VramError('AUDIT_FAILED', 'the disk is full');

describe('withAuditFailure', () => {
  test('a verdict that was recorded is itself', () => {
    const verdict = new VramError('NOT_FOUND', 'no such shard');
    expect(withAuditFailure(verdict, null)).toBe(verdict);
  });

  test('[AU-005] an unrecorded verdict keeps its code, message and figures, with the failure as its cause', () => {
    const figures = { neededBytes: 7, availableBytes: null, argument: 'source' };
    const heard = withAuditFailure(new VramError('INSUFFICIENT_VRAM', 'too large', figures), failure);
    expect(heard).toMatchObject({ code: 'INSUFFICIENT_VRAM', message: 'too large', ...figures });
    expect(heard.cause).toBe(failure);
  });

  test('[AU-005] the cause that the verdict has stays beside the failure', () => {
    const lost = new Error('the driver says no');
    const heard = withAuditFailure(new VramError('DEVICE_LOST', 'lost', { cause: lost }), failure);
    expect(heard.cause).toBeInstanceOf(AggregateError);
    expect((heard.cause as AggregateError).errors).toEqual([failure, lost]);
  });

  test("what the caller's own code threw stays what it is", () => {
    const thrown = new TypeError('mine');
    expect(withAuditFailure(thrown, failure)).toBe(thrown);
  });
});
