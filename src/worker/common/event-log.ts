import type { WorkerEvent } from '../../api-schema/index.js';
import { type Clock, timestamp } from '../../base/index.js';
import { ServiceError } from './service-error.js';

export type EventDraft = Omit<WorkerEvent, 'id' | 'at'>;
/** An event with its number in the log. */
export type Logged<Draft> = Draft & { readonly id: number; readonly at: string };

/** Limits of the events that a late reader can still get. */
export interface EventLimits {
  readonly events: number;
  /** The sizes that writers pass to append(). */
  readonly bytes: number;
}

const WORKER_LIMITS: EventLimits = { events: 10_000, bytes: Number.POSITIVE_INFINITY };

/** Events in order. Each reader has its own position; one that falls behind the stored events gets EVENTS_EXPIRED. */
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

  /** Id of the newest event; 0 before the first. */
  get lastId(): number {
    return this.#lastId;
  }

  /** Size of the stored events. */
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

  /** Ends the log and its readers. */
  end(): void {
    this.#ended = true;
    this.#wake();
  }

  /** Drops the stored events. */
  forget(): void {
    while (this.#events.length > 0) this.#dropOldest();
    this.#wake();
  }

  /** Errors: EVENTS_EXPIRED if events after `afterId` are no longer stored. */
  requireKept(afterId: number): void {
    const first = this.#firstId;
    if (afterId + 1 >= first) return;
    throw new ServiceError(
      'EVENTS_EXPIRED',
      `events up to ${first - 1} are no longer stored; read the state again`,
    );
  }

  /**
   * Stored events after `afterId`, then new ones, until the signal fires or the log ends. Errors: EVENTS_EXPIRED if
   * events after `afterId` are no longer stored, at the start or because the reader was too slow.
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
