import type { EventLog, Logged } from '../common/index.js';
import { problemOf } from './problem.js';

/** A comment that shows proxies and readers that the connection is alive. */
const HEARTBEAT_MS = 15_000;
/** Bytes that a reader may leave unread before it is disconnected. */
const MOST_UNREAD_BYTES = 1_048_576;

export interface StreamRequest<Draft extends object> {
  readonly log: EventLog<Draft>;
  /** Only events after this one. */
  readonly afterId: number;
  readonly accepts: (event: Logged<Draft>) => boolean;
  /** Fires when the reader is gone. */
  readonly signal: AbortSignal;
  readonly headers?: Readonly<Record<string, string>>;
  /**
   * How long a reader may leave too much unread before it is disconnected, milliseconds. Default 0: at once. In a burst
   * of events, a reader that keeps up with the connection is not behind.
   */
  readonly patienceMs?: number;
}

/**
 * Server-sent events (HTML standard). A reader that falls behind gets `overrun` and the end. With Last-Event-ID it can
 * resume, as far back as events are stored.
 */
export function eventStream<Draft extends { readonly type: string }>({
  log,
  afterId,
  accepts,
  signal,
  headers = {},
  patienceMs = 0,
}: StreamRequest<Draft>): Response {
  const ending = new AbortController();
  const end = AbortSignal.any([signal, ending.signal]);
  const encoder = new TextEncoder();
  let taken: () => void = () => undefined;
  const body = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        const send = (text: string): void => controller.enqueue(encoder.encode(text));
        const heartbeat = setInterval(() => {
          if ((controller.desiredSize ?? 0) > 0) send(': alive\n\n');
        }, HEARTBEAT_MS);
        const run = async (): Promise<void> => {
          send(': vram-residency\n\n');
          for await (const event of log.follow(afterId, end)) {
            if (!accepts(event)) continue;
            if ((controller.desiredSize ?? 0) <= 0 && patienceMs > 0) {
              await firstOf(end, patienceMs, (wake) => {
                taken = wake;
              });
            }
            if ((controller.desiredSize ?? 0) <= 0) {
              send('event: overrun\ndata: {}\n\n');
              return;
            }
            send(`id: ${event.id}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
          }
        };
        run()
          .catch((error: unknown) => {
            if (!end.aborted) send(`event: error\ndata: ${JSON.stringify(problemOf(error))}\n\n`);
          })
          .finally(() => {
            clearInterval(heartbeat);
            // Already closed if the reader cancelled it.
            if (!ending.signal.aborted) controller.close();
          });
      },
      pull() {
        taken();
      },
      cancel() {
        ending.abort();
      },
    },
    new ByteLengthQueuingStrategy({ highWaterMark: MOST_UNREAD_BYTES }),
  );
  return new Response(body, {
    headers: {
      ...headers,
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    },
  });
}

/** Resolves when the reader has read something or left, or the time is up. */
function firstOf(end: AbortSignal, ms: number, onTaken: (wake: () => void) => void): Promise<void> {
  return new Promise((resolve) => {
    const wake = (): void => {
      clearTimeout(timer);
      end.removeEventListener('abort', wake);
      resolve();
    };
    const timer = setTimeout(wake, ms);
    end.addEventListener('abort', wake, { once: true });
    onTaken(wake);
  });
}

/** The last event that a reader got; null without a valid number. */
export function lastEventId(header: (name: string) => string | null): number | null {
  const last = header('last-event-id');
  return last !== null && /^\d{1,15}$/.test(last) ? Number(last) : null;
}
