// Choosing a model: by dropping a file, by choosing one, or the bundled one.
import { Refusal } from '../client.js';
import type { ModelChoice } from '../protocol.js';
import { byId, onClick, setText } from './dom.js';
import { failureText } from './failure-text.js';
import { bytes } from './format.js';

const PHASES: Readonly<Record<string, string>> = {
  download: 'Downloading the model',
  load: 'Hashing and copying to the device',
  verify: 'Hashing on the device',
};

export class StartView {
  readonly #section = byId('start', HTMLElement);
  readonly #drop = byId('drop', HTMLElement);
  readonly #opening = byId('opening', HTMLElement);
  readonly #error = byId('start-error', HTMLElement);
  readonly #plain = byId('plain', HTMLButtonElement);
  /** The file of the last failure, where it can be sealed as plain bytes. */
  #refused: File | null = null;

  constructor(open: (choice: ModelChoice) => void) {
    const file = byId('file', HTMLInputElement);
    onClick('bundled', () => open({ kind: 'bundled' }));
    onClick('choose', () => file.click());
    file.addEventListener('change', () => {
      const chosen = file.files?.[0];
      file.value = '';
      if (chosen !== undefined) open({ kind: 'file', file: chosen, plain: false });
    });
    // Anywhere on the page: a file that misses the box would else replace the page.
    addEventListener('dragover', (event) => {
      event.preventDefault();
      this.#drop.dataset['over'] = '';
    });
    addEventListener('dragleave', () => delete this.#drop.dataset['over']);
    addEventListener('drop', (event) => {
      event.preventDefault();
      delete this.#drop.dataset['over'];
      const dropped = event.dataTransfer?.files[0];
      if (dropped !== undefined) open({ kind: 'file', file: dropped, plain: false });
    });
    onClick('plain', () => {
      if (this.#refused !== null) open({ kind: 'file', file: this.#refused, plain: true });
    });
  }

  show(): void {
    this.#section.hidden = false;
    this.#opening.hidden = true;
    this.#drop.hidden = false;
    byId('model', HTMLElement).hidden = true;
    byId('another', HTMLButtonElement).hidden = true;
    byId('bundled', HTMLButtonElement).focus();
  }

  hide(): void {
    this.#section.hidden = true;
  }

  opening(): void {
    this.show();
    this.#tell('', null);
    this.#drop.hidden = true;
    this.#opening.hidden = false;
    setText(byId('opening-text', HTMLElement), 'Opening the device…');
    byId('opening-bar', HTMLProgressElement).removeAttribute('value');
  }

  progress(phase: string, done: number, total: number): void {
    setText(byId('opening-text', HTMLElement), `${PHASES[phase] ?? 'Working'}: ${bytes(total)}`);
    byId('opening-bar', HTMLProgressElement).value = total === 0 ? 0 : done / total;
  }

  /** `choice` has not been sealed. */
  failed(error: unknown, choice: ModelChoice): void {
    const canBePlain = error instanceof Refusal && error.broken && choice.kind === 'file';
    this.#backToChoosing();
    this.#tell(failureText(error), canBePlain ? choice.file : null);
    (canBePlain ? this.#plain : byId('choose', HTMLButtonElement)).focus();
  }

  /** The device or the worker is gone, and no model was sealed. */
  lost(reason: string): void {
    this.#backToChoosing();
    this.#tell(reason, null);
  }

  #backToChoosing(): void {
    this.#opening.hidden = true;
    this.#drop.hidden = false;
  }

  #tell(message: string, refused: File | null): void {
    setText(this.#error, message);
    this.#refused = refused;
    this.#plain.hidden = refused === null;
  }
}
