import type { WorkerEvent } from '../../api-schema/index.js';
import { type Clock, timestamp } from '../../base/index.js';
import { ServiceError } from './service-error.js';

export type EventDraft = Omit<WorkerEvent, 'id' | 'at'>;

/** Events that a reader who was away can still get. */
const KEPT_EVENTS = 10_000;

/** What happens in the worker, in order. Readers go at their own pace; one that falls behind what is kept is told so. */
export class EventLog {
  readonly #clock: Clock;
  readonly #capacity: number;
  readonly #events: WorkerEvent[] = [];
  readonly #waiting = new Set<() => void>();
  #lastId = 0;
  #ended = false;

  constructor(clock: Clock, capacity = KEPT_EVENTS) {
    this.#clock = clock;
    this.#capacity = capacity;
  }

  /** Of the newest event; 0 before the first. */
  get lastId(): number {
    return this.#lastId;
  }

  append(draft: EventDraft): WorkerEvent {
    const event = { id: ++this.#lastId, at: timestamp(this.#clock), ...draft };
    this.#events.push(event);
    if (this.#events.length > this.#capacity) this.#events.shift();
    this.#wake();
    return event;
  }

  /** No event comes any more: readers end. */
  end(): void {
    this.#ended = true;
    this.#wake();
  }

  /**
   * Events behind `afterId`, then those to come, until the signal fires or the log ends. Errors: EVENTS_EXPIRED where
   * events behind `afterId` are not kept any more, at the start or because the reader was too slow.
   */
  async *follow(afterId: number, signal: AbortSignal): AsyncGenerator<WorkerEvent, undefined> {
    let last = Math.min(afterId, this.#lastId);
    while (!signal.aborted) {
      const first = this.#events[0]?.id ?? this.#lastId + 1;
      if (last + 1 < first) {
        throw new ServiceError(
          'EVENTS_EXPIRED',
          `events up to ${first - 1} are not kept any more; read the state anew`,
        );
      }
      const event = this.#events[last + 1 - first];
      if (event !== undefined) {
        last = event.id;
        yield event;
      } else if (this.#ended) return;
      else await this.#nextEvent(signal);
    }
  }

  #nextEvent(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      this.#waiting.add(wake);
      signal.addEventListener('abort', wake, { once: true });
    });
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake();
  }
}
