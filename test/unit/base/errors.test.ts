import { describe, expect, expectTypeOf, it } from 'vitest';
import { ERROR_CLASS } from '../../../src/base/error-codes.js';
import {
  invalidInput,
  isVramError,
  type SetReport,
  throwIfAborted,
  VramError,
} from '../../../src/base/errors.js';
import type { DamagedRange } from '../../../src/base/reports.js';
import { bytesSource } from '../../../src/source/index.js';
import { failure, openHost, pattern } from '../manager/fixture.js';

describe('errors', () => {
  it('[WK-002] the class of every code is what was published', () => {
    const published = Object.entries(ERROR_CLASS).map(
      ([code, { kind, scope }]) => `${code} ${kind}${scope === null ? '' : ` ${scope}`}`,
    );
    expect(published.sort()).toEqual([
      'ABORTED invalid',
      'ALLOCATION_FAILED retriable',
      'AUDIT_CORRUPT fatal manager',
      'AUDIT_FAILED retriable',
      'DEVICE_LOST fatal device',
      'DEVICE_UNAVAILABLE retriable',
      'INSUFFICIENT_VRAM retriable',
      'INTEGRITY_VIOLATION fatal shard',
      'INVALID_INPUT invalid',
      'NOT_FOUND invalid',
      'NOT_SEALED invalid',
      'POLICY_VIOLATION fatal manager',
      'RELEASE_FAILED fatal device',
      'SEAL_VERIFICATION_FAILED invalid',
      'SOURCE_MISMATCH invalid',
      'STOPPED invalid',
      'WITNESS_FAILED fatal shard',
    ]);
  });

  it('carry their class, figures and cause', () => {
    const cause = new Error('below');
    const error = new VramError('INSUFFICIENT_VRAM', 'no room', {
      neededBytes: 5,
      availableBytes: null,
      cause,
    });
    expect(error).toMatchObject({
      kind: 'retriable',
      scope: null,
      neededBytes: 5,
      availableBytes: null,
      cause,
      name: 'VramError',
    });
    expect(error).toBeInstanceOf(Error);
    expect('cause' in new VramError('STOPPED', 'x')).toBe(false);
  });

  it('[CI-010] carry the report of a verification, whose fields the compiler knows', async () => {
    const { manager, device } = await openHost();
    const shard = await manager.seal(bytesSource(pattern(9000)), { modelRef: 'm' });
    const { flips } = await manager.drill(shard, { seed: 1 });
    const found = async (call: Promise<unknown>): Promise<VramError> => {
      const error = await failure(call);
      if (!isVramError(error, 'INTEGRITY_VIOLATION')) throw error;
      return error;
    };
    const { report } = await found(manager.verify(shard, { source: bytesSource(pattern(9000)) }));
    expectTypeOf(report?.damaged).toEqualTypeOf<readonly DamagedRange[] | undefined>();
    expectTypeOf(report?.verified).toEqualTypeOf<boolean | undefined>();
    const firstBlock = Math.floor((flips[0]?.byte ?? Number.NaN) / 4096);
    expect(report?.damaged).toMatchObject([{ firstBlock, blocks: 1 }]);
    expect(report?.shards).toBeUndefined();
    const set = (await found(manager.verifySet('m'))).report;
    if (set?.shards === undefined) throw new Error('no report of the set');
    expectTypeOf(set).toExtend<SetReport>();
    expect(set.shards.map(({ error }) => error?.report?.damagedGroups)).toEqual([1]);
    expect(set.damaged).toBeUndefined();
    expect(new VramError('STOPPED', 'x').report).toBeUndefined();
    await manager.close();
    await device.close();
  });

  it('are told apart by code', () => {
    expect(isVramError(new VramError('STOPPED', 'x'))).toBe(true);
    expect(isVramError(new VramError('STOPPED', 'x'), 'STOPPED')).toBe(true);
    expect(isVramError(new VramError('STOPPED', 'x'), 'ABORTED')).toBe(false);
    expect(isVramError(Object.assign(new Error('x'), { code: 'STOPPED' }))).toBe(false);
  });

  it('name the argument', () => {
    expect(invalidInput('shardId', 'must be shorter')).toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'shardId',
      message: '"shardId" must be shorter',
    });
  });

  it('ABORTED carries the reason of the signal', () => {
    throwIfAborted(undefined);
    throwIfAborted(new AbortController().signal);
    expect(() => throwIfAborted(AbortSignal.abort('why'))).toThrow(
      expect.objectContaining({ code: 'ABORTED', cause: 'why' }),
    );
  });
});
