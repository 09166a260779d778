import { invalidInput, KnownSecret, removeSecretShapes, writtenForms } from '../../base/index.js';

/** Texts recur from record to record: clean ones are cached. */
const REMEMBERED = 512;
const MAX_REMEMBERED_LENGTH = 256;

/** The worker's token as callers may have written it into labels. Kept as fingerprints, not as the token (AU-006). */
export class RecordedSecret {
  readonly #known: KnownSecret;
  readonly #harmless = new Set<string>();

  constructor(token: Uint8Array) {
    this.#known = new KnownSecret(writtenForms(token), '[redacted]');
  }

  /** The text without the token in any of its written forms, and without what looks like another secret. */
  clean(text: string): string {
    if (this.#harmless.has(text)) return text;
    const cleaned = removeSecretShapes(this.#known.remove(text));
    if (cleaned === text && text.length <= MAX_REMEMBERED_LENGTH) {
      if (this.#harmless.size >= REMEMBERED) this.#harmless.clear();
      this.#harmless.add(text);
    }
    return cleaned;
  }

  /** A worker's name stands in every record and in the origin, unchanged. Errors: INVALID_INPUT if it holds the token. */
  refuseIn(argument: string, text: string): void {
    if (this.#known.remove(text) !== text) throw invalidInput(argument, 'must not contain the token');
  }
}
