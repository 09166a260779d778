import { describe, expect, it } from 'vitest';
import { Budget, LeaseBudgets } from '../../../src/handover/budget.js';
import { TestClock } from '../manager/fixture.js';

/** How many can be taken now. */
function takeAll(take: () => boolean): number {
  let taken = 0;
  while (taken < 10_000 && take()) taken += 1;
  return taken;
}

describe('Budget', () => {
  it('gives its burst at once, then a steady rate, and never saves up more than the burst', () => {
    const clock = new TestClock();
    const budget = new Budget(clock, { burst: 5, perSecond: 2 });
    const take = () => budget.take();
    expect(takeAll(take)).toBe(5);
    clock.turn(499);
    expect(takeAll(take)).toBe(0);
    clock.turn(1);
    expect(takeAll(take)).toBe(1);
    clock.turn(1500);
    expect(takeAll(take)).toBe(3);
    clock.turn(3_600_000);
    expect(takeAll(take)).toBe(5);
  });
});

describe('LeaseBudgets', () => {
  it('counts every user alone: 256 leases at once, then one a second', () => {
    const clock = new TestClock();
    const budgets = new LeaseBudgets(clock);
    expect(takeAll(() => budgets.take(1))).toBe(256);
    expect(takeAll(() => budgets.take(2))).toBe(256);
    clock.turn(3000);
    expect(takeAll(() => budgets.take(1))).toBe(3);
  });

  it('remembers 1,024 users, those who came last', () => {
    const budgets = new LeaseBudgets(new TestClock());
    takeAll(() => budgets.take(1));
    takeAll(() => budgets.take(2));
    for (let uid = 3; uid <= 1_024; uid++) budgets.take(uid);
    expect(budgets.take(1)).toBe(false);
    // User 2 is now the one that has not come for longest.
    budgets.take(1_025);
    expect(budgets.take(1)).toBe(false);
    expect(budgets.take(2)).toBe(true);
  });
});
