import type { WorkerEvent } from '../../api-schema/index.js';
import type { EventLog } from '../common/index.js';
import { problemOf } from './problem.js';

/** A comment, so that proxies and readers see that the connection lives. */
const HEARTBEAT_MS = 15_000;
/** Bytes that a reader may leave unread before it is let go. */
const MOST_UNREAD_BYTES = 1_048_576;

export interface StreamRequest {
  readonly log: EventLog;
  /** Only events behind this one. */
  readonly afterId: number;
  readonly wanted: (event: WorkerEvent) => boolean;
  /** Fires when the reader is gone. */
  readonly signal: AbortSignal;
}

/**
 * Server-sent events (HTML standard). A reader that falls behind gets `overrun` and the end: with Last-Event-ID it can go on
 * from where it was, as far as events are kept.
 */
export function eventStream({ log, afterId, wanted, signal }: StreamRequest): Response {
  const ending = new AbortController();
  const end = AbortSignal.any([signal, ending.signal]);
  const encoder = new TextEncoder();
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
            if (!wanted(event)) continue;
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
            // Cancelled by the reader it is closed already.
            if (!ending.signal.aborted) controller.close();
          });
      },
      cancel() {
        ending.abort();
      },
    },
    new ByteLengthQueuingStrategy({ highWaterMark: MOST_UNREAD_BYTES }),
  );
  return new Response(body, {
    headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' },
  });
}
