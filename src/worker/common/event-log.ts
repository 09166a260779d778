import type { WorkerEvent } from '../../api-schema/index.js';
import { type Clock, timestamp } from '../../base/index.js';
import { ServiceError } from './service-error.js';

export type EventDraft = Omit<WorkerEvent, 'id' | 'at'>;
/** An event with its place in the log. */
export type Logged<Draft> = Draft & { readonly id: number; readonly at: string };

/** What a reader who was away can still get. */
export interface EventLimits {
  readonly events: number;
  /** As their writer counts them. */
  readonly bytes: number;
}

const WORKER_LIMITS: EventLimits = { events: 10_000, bytes: Number.POSITIVE_INFINITY };

/** Events in order. Readers go at their own pace; one that falls behind the stored events gets EVENTS_EXPIRED. */
export class EventLog<Draft extends object = EventDraft> {
  readonly #clock: Clock;
  readonly #limits: EventLimits;
  readonly #events: Logged<Draft>[] = [];
  readonly #sizes: number[] = [];
  readonly #waiting = new Set<() => void>();
  #bytes = 0;
  #lastId = 0;
  #ended = false;

  constructor(clock: Clock, limits: EventLimits = WORKER_LIMITS) {
    this.#clock = clock;
    this.#limits = limits;
  }

  /** Of the newest event; 0 before the first. */
  get lastId(): number {
    return this.#lastId;
  }

  /** Of the events that are kept. */
  get bytes(): number {
    return this.#bytes;
  }

  append<D extends Draft>(draft: D, bytes = 0): Logged<D> {
    const event = { ...draft, id: ++this.#lastId, at: timestamp(this.#clock) };
    this.#events.push(event);
    this.#sizes.push(bytes);
    this.#bytes += bytes;
    const { events, bytes: most } = this.#limits;
    while (this.#events.length > events || (this.#bytes > most && this.#events.length > 1))
      this.#dropOldest();
    this.#wake();
    return event;
  }

  /** No event comes any more: readers end. */
  end(): void {
    this.#ended = true;
    this.#wake();
  }

  /** Keeps none of the events any longer. */
  forget(): void {
    while (this.#events.length > 0) this.#dropOldest();
    this.#wake();
  }

  /** Errors: EVENTS_EXPIRED where events behind `afterId` are not kept any more. */
  requireKept(afterId: number): void {
    const first = this.#firstId;
    if (afterId + 1 >= first) return;
    throw new ServiceError(
      'EVENTS_EXPIRED',
      `events up to ${first - 1} are not kept any more; read the state anew`,
    );
  }

  /**
   * Events behind `afterId`, then those to come, until the signal fires or the log ends. Errors: EVENTS_EXPIRED where
   * events behind `afterId` are not kept any more, at the start or because the reader was too slow.
   */
  async *follow(afterId: number, signal: AbortSignal): AsyncGenerator<Logged<Draft>, undefined> {
    let last = Math.min(afterId, this.#lastId);
    while (!signal.aborted) {
      this.requireKept(last);
      const event = this.#events[last + 1 - this.#firstId];
      if (event !== undefined) {
        last = event.id;
        yield event;
      } else if (this.#ended) return;
      else await this.#nextEvent(signal);
    }
  }

  get #firstId(): number {
    return this.#lastId - this.#events.length + 1;
  }

  #dropOldest(): void {
    this.#events.shift();
    this.#bytes -= this.#sizes.shift() ?? 0;
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
