import { type End, onEnd } from '../../base/index.js';

/**
 * Runs work under a signal that fires with the caller's signal, or when one of the others ends. Removes its listeners
 * with the work: AbortSignal.any leaves state on longer-lived signals, and the manager lives long.
 */
export async function withSignals<T>(
  ends: readonly End[],
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const joined = new AbortController();
  const callOffs = ends.map((end) => onEnd(end, (reason) => joined.abort(reason)));
  try {
    return await work(joined.signal);
  } finally {
    for (const callOff of callOffs) callOff();
  }
}
