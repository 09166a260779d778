import { ServiceError } from '../common/index.js';

/** Of one caller: each stream holds a connection, and up to a mebibyte that was not read. */
const MOST_STREAMS = 128;

/**
 * Answers that do not end by themselves. They end when their caller's token is withdrawn: with the next event or, without
 * one, with the next heartbeat, before it is passed on.
 */
export class OpenStreams {
  readonly #most: number;
  /** How many are open, of each caller that has any. */
  readonly #open = new Map<string, number>();

  /** `most`: of one caller, so that none of them keeps the others from theirs. */
  constructor(most = MOST_STREAMS) {
    this.#most = most;
  }

  /**
   * The answer as it may go out; one that is not a stream of events as it is. `caller` identifies the caller; all callers
   * without a token count as one. Errors: QUEUE_FULL for one stream too many.
   */
  async guard(answer: Response, caller: string, isStillAdmitted: () => Promise<boolean>): Promise<Response> {
    const { body, status, headers } = answer;
    if (body === null || headers.get('content-type') !== 'text/event-stream') return answer;
    const open = this.#open.get(caller) ?? 0;
    if (open >= this.#most) {
      await body.cancel();
      throw new ServiceError('QUEUE_FULL', `you have ${open} streams of events open; close others first`);
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
    // Nothing is read ahead: how much a reader has left unread is counted behind this.
    { highWaterMark: 0 },
  );
}
