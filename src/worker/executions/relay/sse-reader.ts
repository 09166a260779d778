import { VramError } from '../../../base/index.js';

/** Of one event, UTF-16 units: escaped as JSON it still fits into an event of ours. */
export const MOST_TEXT = 131_072;

export interface SseEvent {
  readonly event: string | null;
  readonly text: string;
}

/** Takes a stream of server-sent events apart (HTML standard), as it comes. Comments, ids and retry times are left out. */
export class SseReader {
  #pending = '';
  #event: string | null = null;
  #data: string[] = [];
  #length = 0;

  /** The events that are whole with this piece of text. Errors: DEVICE_UNAVAILABLE for one that is too long. */
  *push(piece: string): Generator<SseEvent> {
    const text = this.#pending + piece;
    let from = 0;
    for (let at = nextBreak(text, 0); at !== null; at = nextBreak(text, from)) {
      const line = text.slice(from, at.start);
      from = at.end;
      const event = this.#line(line);
      if (event !== null) yield event;
    }
    this.#pending = text.slice(from);
    this.#requireShort(this.#pending.length);
  }

  #line(line: string): SseEvent | null {
    if (line === '') return this.#dispatch();
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + (line[colon + 1] === ' ' ? 2 : 1));
    if (field === 'event') this.#event = value.slice(0, 64);
    if (field === 'data') {
      this.#data.push(value);
      this.#length += value.length + 1;
      this.#requireShort(this.#length);
    }
    return null;
  }

  #dispatch(): SseEvent | null {
    const event = this.#data.length === 0 ? null : { event: this.#event, text: this.#data.join('\n') };
    this.#event = null;
    this.#data = [];
    this.#length = 0;
    return event;
  }

  #requireShort(length: number): void {
    if (length <= MOST_TEXT) return;
    throw new VramError(
      'DEVICE_UNAVAILABLE',
      `the engine sent an event of more than ${MOST_TEXT} characters`,
    );
  }
}

/** A line ends with CR LF, LF or CR; a CR at the end of what has come may be half of the first. */
function nextBreak(text: string, from: number): { readonly start: number; readonly end: number } | null {
  for (let at = from; at < text.length; at++) {
    const code = text[at];
    if (code === '\n') return { start: at, end: at + 1 };
    if (code !== '\r') continue;
    if (at + 1 === text.length) return null;
    return { start: at, end: at + (text[at + 1] === '\n' ? 2 : 1) };
  }
  return null;
}
