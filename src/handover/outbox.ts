import { type Clock, timerOf } from '../base/index.js';
import { encodeMessage, type ServerMessage } from './messages.js';
import type { ShareConnection } from './port.js';

/** Pause between two attempts to send to a client that does not read. */
const RETRY_MS = 250;

/**
 * Sends messages that a client must not miss. If it does not read, they are queued in order and retried: a handful at
 * most, since each waits for an answer to the previous one. Periodic messages are skipped instead and sent at the next
 * interval.
 */
export class Outbox {
  readonly #connection: ShareConnection;
  readonly #clock: Clock;
  #kept: Uint8Array[] = [];
  #callOff: () => void = () => undefined;
  #closed = false;

  constructor(connection: ShareConnection, clock: Clock) {
    this.#connection = connection;
    this.#clock = clock;
  }

  /** Sends a message that the client must get, in order. */
  must(message: ServerMessage): void {
    const line = encodeMessage(message);
    if (line === null || this.#closed) return;
    this.#kept.push(line);
    this.#flush();
  }

  /** Drops the queue and sends this instead. */
  last(message: ServerMessage): void {
    this.#kept = [];
    this.must(message);
  }

  /** Sends a message that may be skipped. */
  may(message: ServerMessage): void {
    const line = encodeMessage(message);
    if (line === null || this.#closed || this.#kept.length > 0) return;
    this.#connection.send(line);
  }

  close(): void {
    this.#closed = true;
    this.#kept = [];
    this.#callOff();
  }

  #flush(): void {
    this.#callOff();
    for (let line = this.#kept[0]; line !== undefined; line = this.#kept[0]) {
      if (this.#connection.send(line) === 'full') {
        this.#callOff = timerOf(this.#clock)(RETRY_MS, () => this.#flush());
        return;
      }
      this.#kept.shift();
    }
  }
}
