// The latest event, in one headline and one sentence.
import { byId, setText } from './dom.js';

export type Mood = 'calm' | 'good' | 'bad';

export class Story {
  readonly #section = byId('story', HTMLElement);
  readonly #title = byId('story-title', HTMLHeadingElement);
  readonly #text = byId('story-text', HTMLElement);
  readonly #alarm = byId('alarm', HTMLElement);
  #before: string | null = null;
  #timer: ReturnType<typeof setInterval> | undefined;

  tell(mood: Mood, title: string, text: string): void {
    this.#stop();
    this.#before = null;
    this.#section.dataset['mood'] = mood;
    setText(this.#title, title);
    setText(this.#text, text);
    setText(this.#alarm, '');
  }

  /** Interrupts a screen reader. */
  alarm(title: string, text: string): void {
    this.tell('bad', title, text);
    setText(this.#alarm, title);
  }

  /** While something runs; the headline stays. */
  working(what: string): void {
    this.#before = this.#text.textContent;
    setText(this.#text, what);
    const began = performance.now();
    this.#timer = setInterval(() => {
      const seconds = Math.round((performance.now() - began) / 1_000);
      setText(byId('elapsed', HTMLElement), `${seconds} s`);
    }, 1_000);
  }

  /** The operation has ended without anything to report. */
  rested(): void {
    this.#stop();
    if (this.#before !== null) setText(this.#text, this.#before);
    this.#before = null;
  }

  #stop(): void {
    clearInterval(this.#timer);
    setText(byId('elapsed', HTMLElement), '');
  }

  focus(): void {
    this.#title.focus();
  }
}
