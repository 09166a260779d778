import { throwIfAborted } from '../../base/index.js';
import { FILE_WINDOW_BYTES, type ReadFileOptions } from '../../digest/index.js';

/** Windows in progress at a time: two for the threads, and one that they can take next. */
export const WINDOWS = 3;

/** A range of a file that threads read together. */
export interface FileWindow {
  readonly offset: number;
  readonly length: number;
  /** The offset just past it. */
  readonly end: number;
  /** Below WINDOWS; unique among the windows in progress. */
  readonly slot: number;
}

/**
 * Carries out `work` for each window of a file, several at a time, and passes each result to `take` in file order. When
 * it settles, everything that was started has settled. The signal is checked between windows.
 * Errors: those of `work`, of the earliest window that failed; ABORTED.
 */
export async function eachWindow<T>(
  byteLength: number,
  work: (window: FileWindow) => Promise<T>,
  take: (given: T) => void,
  { signal, onBytes }: ReadFileOptions,
): Promise<void> {
  const underWay: Promise<Settled<T>>[] = [];
  const count = Math.ceil(byteLength / FILE_WINDOW_BYTES);
  const start = (index: number): void => {
    if (index >= count) return;
    const offset = index * FILE_WINDOW_BYTES;
    const end = Math.min(offset + FILE_WINDOW_BYTES, byteLength);
    // A failure is reported when its turn comes: the window before it may fail first.
    underWay.push(settled(work({ offset, length: end - offset, end, slot: index % WINDOWS }), end));
  };
  for (let index = 0; index < WINDOWS; index++) start(index);
  try {
    for (let index = 0; index < count; index++) {
      const outcome = await underWay.shift();
      if (outcome === undefined) break;
      if ('error' in outcome) throw outcome.error;
      throwIfAborted(signal);
      take(outcome.given);
      start(index + WINDOWS);
      onBytes?.(outcome.end);
    }
  } finally {
    // Threads write to the windows' memory until these have settled.
    await Promise.all(underWay);
  }
}

type Settled<T> = { readonly given: T; readonly end: number } | { readonly error: unknown };

async function settled<T>(work: Promise<T>, end: number): Promise<Settled<T>> {
  try {
    return { given: await work, end };
  } catch (error) {
    return { error };
  }
}
