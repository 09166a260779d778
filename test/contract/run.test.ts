import { describe, expect, it } from 'vitest';
import { hostTarget } from '../support/host-target.js';
import { ContractFailure, fail } from './assert.js';
import { ContractRun, contractCases } from './cases.js';

const target = hostTarget('host');

describe('ContractRun', () => {
  it('a case that skips is skipped with its reason, never passed', async () => {
    const run = new ContractRun(target);
    const outcome = await run.run({
      name: 'skips',
      run: async (context) => context.skip('no such thing here'),
    });
    expect(outcome).toEqual({ status: 'skipped', reason: 'no such thing here' });
  });

  it('a case that throws has failed, whatever it throws', async () => {
    const run = new ContractRun(target);
    const outcome = await run.run({ name: 'fails', run: async () => fail('as it must') });
    expect(outcome).toEqual({ status: 'failed', error: new ContractFailure('as it must') });
    const thrown = await run.run({ name: 'throws', run: () => Promise.reject(new TypeError('a bug')) });
    expect(thrown).toMatchObject({ status: 'failed', error: { message: 'a bug' } });
  });

  it('[RP-002] a case that leaves a region on a shared device has failed, and the next one starts clean', async () => {
    const run = new ContractRun(target);
    const outcome = await run.run({
      name: 'leaks',
      run: async (context) => {
        await (await context.shared()).allocate(1);
      },
    });
    expect(outcome).toMatchObject({
      status: 'failed',
      error: { message: expect.stringContaining('1 regions') },
    });
    const next = await run.run({
      name: 'clean',
      run: async (context) => {
        if ((await context.shared()).stats().liveRegions !== 0) fail('a region is there');
      },
    });
    expect(next).toEqual({ status: 'passed' });
    await run.close();
  });

  it('one device serves all cases with the same options; devices of a case’s own are closed behind it', async () => {
    const run = new ContractRun(target);
    const shared = new Set<unknown>();
    const own: { lost: Promise<{ reason: string }> }[] = [];
    for (const drills of [true, true, false]) {
      await run.run({
        name: 'opens',
        run: async (context) => {
          shared.add(await context.shared({ drills }));
          own.push(await context.open());
        },
      });
    }
    expect(shared.size).toBe(2);
    for (const device of own) expect((await device.lost).reason).toBe('closed');
    await run.close();
  });

  it('names are unique: a report says which case it was', () => {
    expect(new Set(contractCases.map(({ name }) => name)).size).toBe(contractCases.length);
  });
});
