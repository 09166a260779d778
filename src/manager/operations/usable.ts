import { invalidInput } from '../../base/index.js';
import { inQuarantine } from '../integrity/index.js';
import { type Core, type LiveShard, requireLive } from '../state/index.js';

/** Errors: INVALID_INPUT. */
export function checkMaxAge(maxAgeMs: number | undefined): void {
  if (maxAgeMs === undefined) return;
  if (typeof maxAgeMs === 'number' && Number.isFinite(maxAgeMs) && maxAgeMs >= 0) return;
  throw invalidInput('maxAgeMs', 'must be a finite number of milliseconds, at least 0');
}

/** Errors: STOPPED, DEVICE_LOST, NOT_FOUND, INTEGRITY_VIOLATION for a shard in quarantine. */
export function requireUsable(core: Core, live: LiveShard): void {
  core.lifecycle.requireServing();
  requireLive(live);
  if (live.condition === 'quarantined') throw inQuarantine(live);
}

/** Only a good whole-region verification counts, from when it began. */
export function isFresh(core: Core, live: LiveShard, maxAgeMs: number | undefined): boolean {
  const ageMs = live.freshness.ageMs(core.clock);
  return maxAgeMs !== undefined && ageMs !== null && ageMs <= maxAgeMs;
}
