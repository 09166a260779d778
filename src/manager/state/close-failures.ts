import { eventError, type Operation } from '../../events/index.js';
import type { Core } from './core.js';

/** What could not be closed. */
export interface CloseFailure {
  readonly what: 'source' | 'device' | 'engine';
  readonly name: string;
  readonly error: unknown;
}

/** A close that fails or hangs changes no outcome: it is counted and reported to the observers. */
export async function emitCloseFailed(
  core: Core,
  operation: Operation,
  { what, name, error }: CloseFailure,
): Promise<void> {
  core.tally.closeFailures++;
  await operation.emit('close.failed', { what, name, error: eventError(error) });
}
