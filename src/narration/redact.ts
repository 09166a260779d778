import { KnownSecret, removeSecretShapes, writtenForms } from '../base/index.js';

// Removes secrets from arbitrary text of callers. Every step is linear in the text's length: each pattern either matches
// once it has begun or gives up after a bounded number of characters.

const REMOVED = '[redacted]';

const PLAIN = /^[\x20-\x7e]*$/;
// Invisible characters, and those that control a terminal.
const UNSEEN = /(?![\t\n\r])[\p{Cc}\p{Cf}]/gu;
const LINE_BREAKS = /[\t\n\r\u2028\u2029]+/g;

export interface Redactor {
  /** The text on one line, without secrets and invisible characters. */
  redact(text: string): string;
}

/** A redactor for the shapes of secrets and, where one is given, for the worker's token in its written forms. */
export function createRedactor(token?: Uint8Array): Redactor {
  const known = token === undefined ? null : new KnownSecret(writtenForms(token), REMOVED);
  const remove = (text: string): string => removeSecretShapes(known === null ? text : known.remove(text));
  return {
    redact(text: string): string {
      if (PLAIN.test(text)) return remove(text);
      const seen = text.replace(UNSEEN, '');
      const clean = remove(seen);
      // A secret written in full-width letters or the like is still a secret. Text without one keeps its letters.
      const folded = seen.normalize('NFKC');
      const cleanFolded = folded === seen ? folded : remove(folded);
      return (cleanFolded === folded ? clean : cleanFolded).replace(LINE_BREAKS, ' ');
    },
  };
}
