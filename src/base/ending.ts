import { VramError } from './errors.js';

/**
 * Something that ends for good. Calls back once, immediately if it has already ended. Returns a function that cancels the
 * callback.
 */
export interface Ending {
  onEnd(watcher: (reason: unknown) => void): () => void;
}

/** A caller's signal, or something of the library's own that may end. */
export type End = AbortSignal | Ending | undefined;

/** As Ending.onEnd. */
export function onEnd(end: End, watcher: (reason: unknown) => void): () => void {
  if (end === undefined) return () => undefined;
  if (!(end instanceof AbortSignal)) return end.onEnd(watcher);
  const listener = (): void => watcher(end.reason);
  if (end.aborted) listener();
  else end.addEventListener('abort', listener, { once: true });
  return () => end.removeEventListener('abort', listener);
}

/** The rejection of work that ended because of `end`: ABORTED for a signal, otherwise the reason that the ending gave. */
export function endError(end: End, reason: unknown): VramError {
  if (!(end instanceof AbortSignal) && reason instanceof VramError) return reason;
  return new VramError('ABORTED', 'the operation was aborted by its signal', { cause: reason });
}

/** The rejection of work that has not begun when one of these has ended; null while none has. */
export function firstEnd(ends: readonly End[]): VramError | null {
  for (const end of ends) {
    let error: VramError | null = null;
    onEnd(end, (reason) => {
      error = endError(end, reason);
    })();
    if (error !== null) return error;
  }
  return null;
}
