import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseStrictJson, VramError } from '../base/index.js';
import type { AnswerCheck } from './answers.js';
import type { Connection } from './connection.js';
import { readEvents } from './event-reader.js';
import { errorOfAnswer, WorkerError } from './worker-error.js';

/** The common part of all events. */
interface Numbered {
  readonly id: number;
}

export interface Following<Event extends Numbered> {
  readonly path: string;
  /** null: with the next event. */
  readonly after: number | null;
  readonly signal: AbortSignal | undefined;
  /** The run of the worker that answers. */
  readonly instance: () => Promise<string>;
  readonly check: AnswerCheck<Event>;
  /** The last event. */
  readonly isLast: (event: Event) => boolean;
}

const OPEN_MS = 30_000;
/** The worker sends a heartbeat every 15 s: after three missing ones the connection counts as dropped. */
const SILENCE_MS = 45_000;
const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 10_000;
/** The most consecutive connections without an event. */
const MOST_FAILURES = 8;
const MOST_PROBLEM_BYTES = 65_536;

/** See WorkerClient.events(). */
export async function* followEvents<Event extends Numbered>(
  connection: Connection,
  following: Following<Event>,
): AsyncGenerator<Event, void> {
  const { after, signal, instance, isLast } = following;
  const ended = (): boolean => signal?.aborted === true;
  const first = await instance();
  let last = after;
  for (let failures = 0, again = false; !ended(); again = true) {
    try {
      if (again && (await instance()) !== first) break;
      for await (const event of readOnce(connection, following, last)) {
        last = event.id;
        failures = 0;
        yield event;
        if (isLast(event)) return;
      }
    } catch (error) {
      if (ended()) return;
      const dropped = error instanceof WorkerError && error.code === 'WORKER_LOST';
      if (!dropped || failures + 1 >= MOST_FAILURES) throw error;
    }
    // Also after an orderly end, by an overrun or a stopping worker: clients must not reconnect in a tight loop.
    const pause = Math.min(FIRST_PAUSE_MS * 2 ** failures++, LONGEST_PAUSE_MS);
    await sleep(pause, undefined, { signal }).catch(() => undefined);
  }
  if (ended()) return;
  throw new WorkerError('WORKER_LOST', 'another run of the worker answers: its events start again');
}

async function* readOnce<Event extends Numbered>(
  connection: Connection,
  { path, signal, check }: Following<Event>,
  after: number | null,
): AsyncGenerator<Event> {
  const response = await connection.open({
    method: 'GET',
    path,
    headers: { accept: 'text/event-stream', ...(after === null ? {} : { 'last-event-id': String(after) }) },
    body: null,
    timeoutMs: OPEN_MS,
    signal,
  });
  try {
    if (response.statusCode !== 200) throw await refusal(response);
    for await (const { event, data } of readEvents(withoutSilence(response))) {
      if (event === 'overrun') return;
      const value = parseStrictJson(data, { what: 'an event' });
      if (event === 'error')
        throw errorOfAnswer(value) ?? new WorkerError('DEVICE_UNAVAILABLE', 'the events ended');
      if (!check(value)) throw new WorkerError('DEVICE_UNAVAILABLE', 'an event is of an unknown form');
      yield value;
    }
  } catch (cause) {
    if (cause instanceof WorkerError || cause instanceof VramError) throw cause;
    throw new WorkerError('WORKER_LOST', 'the connection dropped', { cause });
  } finally {
    response.destroy();
  }
}

async function* withoutSilence(response: IncomingMessage): AsyncGenerator<Uint8Array> {
  const timer = setTimeout(() => response.destroy(new Error('silence')), SILENCE_MS);
  try {
    for await (const chunk of response as AsyncIterable<Uint8Array>) {
      timer.refresh();
      yield chunk;
    }
  } finally {
    clearTimeout(timer);
  }
}

async function refusal(response: IncomingMessage): Promise<WorkerError> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of withoutSilence(response)) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > MOST_PROBLEM_BYTES) break;
  }
  const status = response.statusCode ?? 0;
  const told = errorOfAnswer(parseStrictJson(text, { what: 'the answer' }));
  return (
    told ?? new WorkerError('DEVICE_UNAVAILABLE', `the answer, ${status}, is not a worker's`, { status })
  );
}
