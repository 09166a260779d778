import { ServiceError } from '../common/index.js';

/** Limit of one caller: each stream holds a connection, and up to a mebibyte of unread data. */
const MOST_STREAMS = 128;

/**
 * Open event streams. A stream ends when its caller's token is withdrawn: at the next event or heartbeat, which is not
 * sent any more.
 */
export class OpenStreams {
  readonly #most: number;
  /** Number of open streams of each caller. */
  readonly #open = new Map<string, number>();

  /** `most`: limit of one caller, so that one caller cannot use up all connections. */
  constructor(most = MOST_STREAMS) {
    this.#most = most;
  }

  /**
   * Wraps an event stream and counts it; other answers pass unchanged. `caller` identifies the caller; all callers
   * without a token count as one. Errors: QUEUE_FULL beyond the limit.
   */
  async guard(answer: Response, caller: string, isStillAdmitted: () => Promise<boolean>): Promise<Response> {
    const { body, status, headers } = answer;
    if (body === null || headers.get('content-type') !== 'text/event-stream') return answer;
    const open = this.#open.get(caller) ?? 0;
    if (open >= this.#most) {
      await body.cancel();
      throw new ServiceError('QUEUE_FULL', `you have ${open} event streams open; close others first`);
    }
    this.#open.set(caller, open + 1);
    return new Response(
      whileAdmitted(body, isStillAdmitted, () => this.#ended(caller)),
      { status, headers },
    );
  }

  #ended(caller: string): void {
    const left = (this.#open.get(caller) ?? 0) - 1;
    if (left > 0) this.#open.set(caller, left);
    else this.#open.delete(caller);
  }
}

/** `onEnd` is called once. */
function whileAdmitted(
  body: ReadableStream<Uint8Array>,
  isStillAdmitted: () => Promise<boolean>,
  onEnd: () => void,
): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  let ended = false;
  const end = (): void => {
    if (!ended) onEnd();
    ended = true;
  };
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await reader.read();
          if (!done && (await isStillAdmitted())) {
            controller.enqueue(value);
            return;
          }
          end();
          controller.close();
          if (!done) await reader.cancel();
        } catch (error) {
          end();
          throw error;
        }
      },
      async cancel(reason) {
        end();
        await reader.cancel(reason);
      },
    },
    // Reads nothing ahead: unread bytes are counted in the stream behind this one.
    { highWaterMark: 0 },
  );
}
