// The sentences and the records, as they come; the newest below, and in sight unless the visitor has scrolled away.
import type { RecordLine, Sentence } from '../protocol.js';
import { byId, element } from './dom.js';
import { clock } from './format.js';

/** The whole log is in the download. */
const MOST_SHOWN = 200;
const NEAR_END = 24;
const ALARMING = /failed|violation|quarantined|damage|lost/;

export class LogView {
  readonly #sentences = byId('sentences', HTMLOListElement);
  readonly #records = byId('records', HTMLOListElement);

  clear(): void {
    this.#sentences.replaceChildren();
    this.#records.replaceChildren();
  }

  /** After the lists came into sight: hidden ones cannot scroll. */
  toEnd(): void {
    for (const list of [this.#sentences, this.#records]) scrollToEnd(list);
  }

  sentence({ level, at, text }: Sentence): void {
    const time = element('time', '', clock(at));
    time.dateTime = at;
    const line = element('li', '', time, element('span', '', text));
    line.dataset['level'] = level;
    append(this.#sentences, [line]);
  }

  records(records: readonly RecordLine[]): void {
    append(
      this.#records,
      records.slice(-MOST_SHOWN).map(({ seq, type, text }) => {
        const details = element(
          'details',
          '',
          element('summary', '', element('span', 'type', type)),
          element('pre', '', text),
        );
        const line = element('li', '', element('span', 'seq', String(seq)), details);
        if (ALARMING.test(type)) line.dataset['ill'] = '';
        return line;
      }),
    );
  }
}

function append(list: HTMLOListElement, lines: readonly HTMLElement[]): void {
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < NEAR_END;
  list.append(...lines);
  while (list.childElementCount > MOST_SHOWN) list.firstElementChild?.remove();
  if (atEnd) scrollToEnd(list);
}

/** Scrolls to the last row, with space below it so that the topmost visible row is complete. */
function scrollToEnd(list: HTMLOListElement): void {
  list.style.paddingBlockEnd = '0';
  list.scrollTop = list.scrollHeight;
  const top = list.getBoundingClientRect().top + list.clientTop;
  const rowsAt = [...list.children].map((row) => row.getBoundingClientRect().top - top);
  // Scrolling stops at whole pixels, rows begin between them.
  const firstWhole = rowsAt.find((at) => at > -1) ?? 0;
  list.style.paddingBlockEnd = `${firstWhole}px`;
  list.scrollTop = list.scrollHeight;
}
