import { checkInteger, MAX_TIMER_MS } from '../../base/index.js';
import { DEFAULT_OBSERVER_MS } from '../../events/index.js';
import type { WaitLimits } from '../state/index.js';
import type { ManagerOptions } from './open-options.js';

/** Long enough for a slow network file system or a server that is waking up, short enough to notice a dead one. */
const DEFAULT_STALL_MS = 30_000;
/** Five minutes: a person may have to touch a hardware key. */
const DEFAULT_SIGNER_MS = 300_000;

/** Errors: INVALID_INPUT naming the limit. */
export function checkWaitLimits({
  stallMs = DEFAULT_STALL_MS,
  observerMs = DEFAULT_OBSERVER_MS,
  signerMs = DEFAULT_SIGNER_MS,
}: Pick<ManagerOptions, 'stallMs' | 'observerMs' | 'signerMs'>): WaitLimits {
  return {
    stallMs: checkInteger('stallMs', stallMs, 1, MAX_TIMER_MS),
    observerMs: checkInteger('observerMs', observerMs, 1, MAX_TIMER_MS),
    signerMs: checkInteger('signerMs', signerMs, 1, MAX_TIMER_MS),
  };
}
