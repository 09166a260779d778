import { describe, expect, it } from 'vitest';
import { Ledger } from '../../../../src/manager/state/ledger.js';

describe('ledger', () => {
  it('[RP-001] takes scratch off first, and the smaller of budget and what is free', () => {
    const ledger = new Ledger(100, 30);
    expect(ledger.availableBytes(null)).toBe(70);
    expect(ledger.availableBytes(50)).toBe(50);
    const reservation = ledger.reserve(60, 65);
    expect([ledger.usedBytes, ledger.availableBytes(1000)]).toEqual([60, 10]);
    expect(() => ledger.reserve(11, null)).toThrow(
      expect.objectContaining({ code: 'INSUFFICIENT_VRAM', neededBytes: 11, availableBytes: 10 }),
    );
    expect(() => ledger.reserve(10, 9)).toThrow(expect.objectContaining({ availableBytes: 9 }));
    reservation.release();
    reservation.release();
    expect(ledger.usedBytes).toBe(0);
    ledger.reserve(70, null);
    expect(ledger.availableBytes(null)).toBe(0);
  });

  it('without a budget only the device bounds it', () => {
    const ledger = new Ledger(null, 30);
    expect(ledger.availableBytes(null)).toBeNull();
    ledger.reserve(2 ** 50, null);
    expect(() => ledger.reserve(6, 5)).toThrow(expect.objectContaining({ code: 'INSUFFICIENT_VRAM' }));
  });
});
