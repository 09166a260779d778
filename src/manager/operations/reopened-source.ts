import { VramError } from '../../base/index.js';
import type { Operation } from '../../events/index.js';
import {
  checkSource,
  requireRanges,
  type Source,
  type SourceReader,
  sourceFailure,
} from '../../source/index.js';
import { type Core, emitCloseFailed, type ReopenSource, readerOf } from '../state/index.js';

/**
 * Runs work over a source that is opened for it and closed afterwards. A close that fails or hangs is reported as
 * `close.failed`: it changes neither the result nor the error of the work. Errors: those of the work, SOURCE_MISMATCH for
 * a source that does not open in time, INVALID_INPUT for one that cannot be read at a position, ABORTED.
 */
export async function withReopened<T>(
  core: Core,
  operation: Operation,
  reopen: ReopenSource,
  signal: AbortSignal,
  work: (source: SourceReader) => Promise<T>,
): Promise<T> {
  const source = await open(core, reopen, signal);
  try {
    return await work(readerOf(core, requireRanges(source), [signal]));
  } finally {
    await close(core, operation, source, signal);
  }
}

async function open({ calls, limits }: Core, reopen: ReopenSource, signal: AbortSignal): Promise<Source> {
  const stalled = (): VramError =>
    new VramError('SOURCE_MISMATCH', `the source did not open again within ${limits.stallMs} ms`);
  try {
    const source = await calls.run((givenUp) => reopen({ signal: givenUp }), {
      limitMs: limits.stallMs,
      stalled,
      ends: [signal],
      // There is no other reference to it.
      onLate: (late) => void Promise.allSettled([Promise.resolve().then(() => late.close())]),
    });
    checkSource(source);
    return source;
  } catch (error) {
    throw sourceFailure(error, signal);
  }
}

async function close(core: Core, operation: Operation, source: Source, signal: AbortSignal): Promise<void> {
  const { calls, limits } = core;
  const stalled = (): VramError =>
    new VramError('SOURCE_MISMATCH', `the source did not close within ${limits.stallMs} ms`);
  try {
    await calls.run(() => source.close(), { limitMs: limits.stallMs, stalled, ends: [signal] });
  } catch (error) {
    // Abandoned like every other call: it may still close later.
    if (signal.aborted) return;
    await emitCloseFailed(core, operation, { what: 'source', name: source.label, error });
  }
}
