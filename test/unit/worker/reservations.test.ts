import { describe, expect, it } from 'vitest';
import { Reservations } from '../../../src/worker/models/index.js';
import { TestClock } from '../manager/fixture.js';

function made(lifetimeMs = 1_000): { clock: TestClock; reservations: Reservations } {
  const clock = new TestClock();
  let count = 0;
  return { clock, reservations: new Reservations(clock, lifetimeMs, () => `r${++count}`) };
}

describe('reservations', () => {
  it('hold their bytes until they are taken, once', () => {
    const { clock, reservations } = made();
    expect(reservations.lifetimeMs).toBe(1_000);
    const held = reservations.hold(100);
    expect(held).toEqual({ id: 'r1', bytes: 100, expiresAtMs: clock.monotonic() + 1_000 });
    reservations.hold(30);
    expect([reservations.count, reservations.bytes]).toEqual([2, 130]);
    expect(reservations.take('r1')).toEqual(held);
    expect([reservations.count, reservations.bytes]).toEqual([1, 30]);
    expect(() => reservations.take('r1')).toThrow(
      expect.objectContaining({
        code: 'RESERVATION_EXPIRED',
        message: 'the reservation has expired or was committed already; plan again',
      }),
    );
    expect(() => reservations.take('never')).toThrow(
      expect.objectContaining({ code: 'RESERVATION_EXPIRED' }),
    );
  });

  it('end after their time, to the millisecond, each by itself', () => {
    const { clock, reservations } = made();
    reservations.hold(100);
    clock.turn(400);
    reservations.hold(30);
    clock.turn(599);
    expect([reservations.count, reservations.bytes]).toEqual([2, 130]);
    clock.turn(1);
    expect([reservations.bytes, reservations.count]).toEqual([30, 1]);
    expect(() => reservations.take('r1')).toThrow(expect.objectContaining({ code: 'RESERVATION_EXPIRED' }));
    clock.turn(400);
    expect(() => reservations.take('r2')).toThrow(expect.objectContaining({ code: 'RESERVATION_EXPIRED' }));
  });

  it('are 1,024 at most; who comes then is told when to come again', () => {
    const { clock, reservations } = made();
    for (let count = 0; count < 1_024; count++) reservations.hold(1);
    expect(() => reservations.hold(1)).toThrow(
      expect.objectContaining({
        code: 'QUEUE_FULL',
        message: '1024 plans are waiting for their commit',
        retryAfterMs: 1_000,
      }),
    );
    clock.turn(1_000);
    expect(reservations.hold(1).bytes).toBe(1);
  });
});
