import { type SseEvent, SseReader } from '../base/index.js';
import { WorkerError } from './worker-error.js';

/** An event has at most 1 MiB; framing adds a little. */
const MOST_CHARACTERS = 2 * 2 ** 20;

/**
 * The events of a worker's stream. Errors: DEVICE_UNAVAILABLE (WorkerError) for an event that no worker sends, and the
 * stream's own.
 */
export async function* readEvents(stream: AsyncIterable<Uint8Array>): AsyncGenerator<SseEvent> {
  const decoder = new TextDecoder();
  const reader = new SseReader({
    mostCharacters: MOST_CHARACTERS,
    tooLong: () => new WorkerError('DEVICE_UNAVAILABLE', 'an event is too long'),
  });
  for await (const chunk of stream) yield* reader.push(decoder.decode(chunk, { stream: true }));
}
