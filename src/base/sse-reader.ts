/** One server-sent event. */
export interface SseEvent {
  /** Its name; null where it has none, which the standard calls `message`. */
  readonly event: string | null;
  /** Its lines of data, joined with line feeds. */
  readonly data: string;
}

export interface SseLimits {
  /** Of one event, UTF-16 units. */
  readonly mostCharacters: number;
  /** The error for a longer event. */
  readonly tooLong: () => Error;
}

/**
 * Parses a stream of server-sent events (HTML standard) incrementally, wherever the chunks are cut. Comments, ids and
 * retry times are left out.
 */
export class SseReader {
  readonly #limits: SseLimits;
  #pending = '';
  /** How much of `#pending` has been searched for a line break. */
  #searched = 0;
  #event: string | null = null;
  #data: string[] = [];
  #length = 0;

  constructor(limits: SseLimits) {
    this.#limits = limits;
  }

  /** The events that this piece of text completes. Errors: `tooLong()`. */
  *push(piece: string): Generator<SseEvent> {
    const text = this.#pending + piece;
    let from = 0;
    const breaks = /\r\n|\n|\r/g;
    breaks.lastIndex = this.#searched;
    // A CR at the end of what has come may be half of a CR LF.
    for (let found = breaks.exec(text); found !== null; found = breaks.exec(text)) {
      const end = found.index + found[0].length;
      if (found[0] === '\r' && end === text.length) break;
      const event = this.#line(text.slice(from, found.index));
      from = end;
      if (event !== null) yield event;
    }
    this.#pending = text.slice(from);
    this.#searched = Math.max(0, this.#pending.length - 1);
    this.#requireShort(this.#length + this.#pending.length);
  }

  #line(line: string): SseEvent | null {
    if (line === '') return this.#dispatch();
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + (line[colon + 1] === ' ' ? 2 : 1));
    if (field === 'event') this.#event = value;
    if (field === 'data') {
      this.#data.push(value);
      this.#length += value.length + 1;
      this.#requireShort(this.#length);
    }
    return null;
  }

  #dispatch(): SseEvent | null {
    const event = this.#data.length === 0 ? null : { event: this.#event, data: this.#data.join('\n') };
    this.#event = null;
    this.#data = [];
    this.#length = 0;
    return event;
  }

  #requireShort(length: number): void {
    if (length > this.#limits.mostCharacters) throw this.#limits.tooLong();
  }
}
