import { type Clock, checkId, type ForeignCalls, isVramError, systemClock, toHex } from '../../base/index.js';
import { DEFAULT_OBSERVER_MS, type EventSource, type Observer, Observers } from '../../events/index.js';
import type { ManagerOptions, Platform } from './open-options.js';
import { checkWaitLimits } from './wait-limits.js';

const ID_BYTES = 16;

/** Every valid observer is notified, even of options that are refused. */
export function eventSource(
  options: ManagerOptions | null,
  { crypto, activeTraceparent }: Platform,
  calls: ForeignCalls,
): EventSource {
  const { workerId, clock, observers } = options ?? {};
  let operations = 0;
  return {
    workerId: isId(workerId) ? workerId : 'unnamed',
    clock: isClock(clock) ? clock : systemClock,
    observers: new Observers(isObservers(observers) ? [...observers] : [], {
      calls,
      observerMs: observerLimit(options),
    }),
    endings: [],
    randomId: () => toHex(crypto.randomBytes(ID_BYTES)),
    nextOperation: () => ++operations,
    activeTraceparent: activeTraceparent ?? (() => null),
    device: null,
  };
}

export function isClock(value: unknown): value is Clock {
  return (
    typeof value === 'object' &&
    value !== null &&
    'now' in value &&
    typeof value.now === 'function' &&
    'monotonic' in value &&
    typeof value.monotonic === 'function'
  );
}

function isId(value: unknown): value is string {
  try {
    return checkId('workerId', value) === value;
  } catch (error) {
    if (isVramError(error)) return false;
    throw error;
  }
}

export function isObservers(value: unknown): value is readonly Observer[] {
  return Array.isArray(value) && value.every((observer: Observer) => typeof observer?.on === 'function');
}

/** A refused limit is not used: reporting the refusal uses the default limit. */
function observerLimit(options: ManagerOptions | null): number {
  try {
    return checkWaitLimits(options ?? {}).observerMs;
  } catch (error) {
    if (isVramError(error)) return DEFAULT_OBSERVER_MS;
    throw error;
  }
}
