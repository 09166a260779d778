import { describe, expect, it } from 'vitest';
import type { Capacity } from '../../../src/manager/index.js';
import { plannedBytes, Reservations, roomFor } from '../../../src/worker/models/index.js';
import { TestClock } from '../manager/fixture.js';

const capacity = (availableBytes: number | null, usedBytes: number): Capacity => ({
  totalBytes: 1_000,
  usedBytes,
  scratchBytes: 0,
  availableBytes,
  source: 'budget',
});
const resident = (bytes: number) => ({ state: 'resident' as const, plannedBytes: bytes });
const releasing = (bytes: number) => ({ state: 'releasing' as const, plannedBytes: bytes });
const loading = (bytes: number) => ({ state: 'loading' as const, plannedBytes: bytes });
const none = (): Reservations => new Reservations(new TestClock(), 1_000, () => 'id');

describe('room for another plan', () => {
  it('is what is available, less plans and what loads have not taken yet', () => {
    const reservations = none();
    reservations.hold(100);
    expect(roomFor(capacity(1_000, 0), [], reservations)).toBe(900);
    // A load of 300 that has taken nothing, then a part, then all of it: it counts once each time.
    expect(roomFor(capacity(1_000, 0), [loading(300)], none())).toBe(700);
    expect(roomFor(capacity(900, 100), [loading(300)], none())).toBe(700);
    expect(roomFor(capacity(700, 300), [loading(300)], none())).toBe(700);
    expect(roomFor(capacity(700, 300), [resident(300)], none())).toBe(700);
    expect(roomFor(capacity(600, 400), [resident(300), loading(300)], none())).toBe(400);
    // One that is being released has its memory still.
    expect(roomFor(capacity(600, 400), [releasing(300), loading(300)], none())).toBe(400);
  });

  it('is never below nothing, and not known where nobody tells', () => {
    expect(roomFor(capacity(10, 0), [loading(300)], none())).toBe(0);
    expect(roomFor(capacity(null, 0), [], none())).toBeNull();
  });

  it('is taken in the units that drivers hand out', () => {
    expect(plannedBytes([{ byteLength: 1 }, { byteLength: 2 ** 21 }, { byteLength: 2 ** 21 + 1 }])).toBe(
      4 * 2 ** 21,
    );
  });
});
