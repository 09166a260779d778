// The line that the engine reads from sealed weights.
import type { RuntimeClient } from '../client.js';
import { Refusal } from '../client.js';
import type { BlockRange, Reading } from '../protocol.js';
import { byId, element, onClick } from './dom.js';
import { duration } from './format.js';
import { Pad } from './pad.js';
import type { Mood } from './story.js';

const MOST = 8;
/** Below this the engine itself is not sure. */
const SURE = 0.5;

export interface ReadingActions {
  /** Runs one thing at a time; false where the page is busy. */
  readonly exclusively: (what: string, work: () => Promise<void>) => void;
  readonly onRefused: (message: string, damaged: readonly BlockRange[]) => void;
  readonly onRead: (reading: Reading) => void;
}

export class ReadingView {
  readonly #client: RuntimeClient;
  readonly #actions: ReadingActions;
  readonly #pad: Pad;
  readonly #words = byId('words', HTMLInputElement);
  readonly #list = byId('readings', HTMLOListElement);
  /** The text on the sheet, if it was typed. */
  #expected: string | null = null;

  constructor(client: RuntimeClient, actions: ReadingActions) {
    this.#client = client;
    this.#actions = actions;
    this.#pad = new Pad(byId('pad', HTMLCanvasElement), () => {
      this.#expected = null;
      this.#words.value = '';
    });
    this.#words.addEventListener('input', () => this.#type());
    onClick('clear', () => {
      this.#words.value = '';
      this.#type();
    });
    const file = byId('picture-file', HTMLInputElement);
    onClick('picture', () => file.click());
    file.addEventListener('change', () => {
      const chosen = file.files?.[0];
      file.value = '';
      if (chosen === undefined) return;
      this.#expected = null;
      this.#words.value = '';
      this.#pad.picture(chosen).catch(() => this.#add('bad', 'Not read', 'The file is not a picture.'));
    });
    onClick('read', () => this.#read(true));
    onClick('read-unchecked', () => this.#read(false));
  }

  /** For another model: no readings yet, and the words of the field on the sheet. */
  begin(): void {
    this.#list.replaceChildren();
    this.#type();
  }

  #type(): void {
    this.#expected = this.#words.value.trim() || null;
    this.#pad.write(this.#words.value);
  }

  #read(verifyFirst: boolean): void {
    const picture = this.#pad.line();
    if (picture === null) {
      this.#add('bad', 'Not read', 'The sheet is empty: write something first.');
      return;
    }
    this.#actions.exclusively(
      'Reading. The first time, the engine is loaded and compiles its kernels…',
      async () => {
        try {
          const reading = await this.#client.call('read', picture, verifyFirst);
          this.#addReading(reading);
          this.#actions.onRead(reading);
        } catch (error) {
          if (!(error instanceof Refusal) || error.code !== 'INTEGRITY_VIOLATION') throw error;
          this.#add('bad', 'Refused', 'The weights are not what was sealed, so the engine was not run.');
          this.#actions.onRefused(error.message, error.damaged);
        }
      },
    );
  }

  #addReading({ text, confidence, ms, verifiedMs, tensors }: Reading): void {
    const checked =
      verifiedMs === null
        ? 'Weights not checked for this.'
        : `${tensors} sealed tensors, verified in ${duration(verifiedMs)}.`;
    const sure =
      text === null || text === '' ? '' : ` Least certain character: ${Math.round(100 * confidence)} %.`;
    const how = `${checked} ${duration(ms)} in all.${sure}`;
    if (text === null) this.#add('bad', 'Unreadable', `Its numbers are not probabilities. ${how}`);
    else if (text === '') this.#add('bad', 'No character', how);
    else this.#add(this.#moodOf(text, confidence, verifiedMs !== null), text, how);
  }

  #moodOf(text: string, confidence: number, verified: boolean): Mood {
    const wrong = confidence < SURE || (this.#expected !== null && !sameWords(text, this.#expected));
    if (wrong) return 'bad';
    return verified ? 'good' : 'calm';
  }

  #add(mood: Mood, text: string, how: string): void {
    const line = element('li', '', element('span', 'text', text), element('span', 'how', how));
    line.dataset['mood'] = mood;
    this.#list.prepend(line);
    while (this.#list.childElementCount > MOST) this.#list.lastElementChild?.remove();
  }
}

/** The recogniser may drop or add a space; the letters count. */
function sameWords(a: string, b: string): boolean {
  const letters = (text: string): string => text.replace(/\s/g, '').toLowerCase();
  return letters(a) === letters(b);
}
