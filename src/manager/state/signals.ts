/** Something that ends for good: calls back once, at once if it has ended. Gives how to call that off. */
export interface Ending {
  onEnd(watcher: (reason: unknown) => void): () => void;
}

/**
 * Runs work under a signal that fires with the caller's signal, or when one of the others ends. Listeners are taken off with the work: AbortSignal.any
 * leaves a trace on signals that live longer, and the manager's end lies far off.
 */
export async function withSignals<T>(
  ends: readonly (AbortSignal | Ending | undefined)[],
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const joined = new AbortController();
  const abort = (reason: unknown): void => joined.abort(reason);
  const listeners = ends.map((end) => {
    if (end === undefined) return () => undefined;
    return end instanceof AbortSignal ? onAbort(end, abort) : end.onEnd(abort);
  });
  try {
    return await work(joined.signal);
  } finally {
    for (const callOff of listeners) callOff();
  }
}

/** As Ending.onEnd. */
function onAbort(signal: AbortSignal, abort: (reason: unknown) => void): () => void {
  const listener = (): void => abort(signal.reason);
  if (signal.aborted) listener();
  else signal.addEventListener('abort', listener, { once: true });
  return () => signal.removeEventListener('abort', listener);
}
