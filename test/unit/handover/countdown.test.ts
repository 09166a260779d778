import { describe, expect, it } from 'vitest';
import { Countdown } from '../../../src/handover/countdown.js';
import { TestClock } from '../manager/fixture.js';

describe('a countdown', () => {
  it('fires once, when its time is up', () => {
    const clock = new TestClock();
    const fired: string[] = [];
    new Countdown(clock).start(10, () => fired.push('one'));
    clock.turn(9);
    expect(fired).toEqual([]);
    clock.turn(1);
    clock.turn(100);
    expect(fired).toEqual(['one']);
  });

  it('that is started again, or stopped, does not fire for what it was started with', () => {
    const clock = new TestClock();
    const fired: string[] = [];
    const countdown = new Countdown(clock);
    countdown.stop();
    countdown.start(10, () => fired.push('one'));
    countdown.start(20, () => fired.push('two'));
    expect(clock.waiting).toBe(1);
    clock.turn(10);
    expect(fired).toEqual([]);
    clock.turn(10);
    expect(fired).toEqual(['two']);
    countdown.start(5, () => fired.push('three'));
    countdown.stop();
    expect(clock.waiting).toBe(0);
    clock.turn(5);
    expect(fired).toEqual(['two']);
  });
});
