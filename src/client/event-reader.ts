import { WorkerError } from './worker-error.js';

/** One server-sent event. */
export interface RawEvent {
  readonly type: string;
  readonly data: string;
}

/** An event has at most 1 MiB; what frames it is a little more. */
const MOST_CHARACTERS = 2 * 2 ** 20;

/**
 * The events of a stream, as the HTML standard parses them; comments are passed over. Errors: DEVICE_UNAVAILABLE for an
 * event that no worker sends, and the stream's own.
 */
export async function* readEvents(stream: AsyncIterable<Uint8Array>): AsyncGenerator<RawEvent> {
  const decoder = new TextDecoder();
  let rest = '';
  let type = '';
  let data: string[] = [];
  let size = 0;
  for await (const chunk of stream) {
    rest += decoder.decode(chunk, { stream: true });
    const lines = rest.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      size += line.length;
      if (line === '') {
        if (data.length > 0) yield { type: type === '' ? 'message' : type, data: data.join('\n') };
        type = '';
        data = [];
        size = 0;
      } else if (line.startsWith('event: ')) type = line.slice(7);
      else if (line.startsWith('data: ')) data.push(line.slice(6));
    }
    if (rest.length + size > MOST_CHARACTERS)
      throw new WorkerError('DEVICE_UNAVAILABLE', 'an event is too long');
  }
}
