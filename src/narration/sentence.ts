/** The longest sentence, in UTF-16 units. */
const MAX_SENTENCE = 160;
const LONGEST_NAME = 40;
const DIGEST_DIGITS = 8;

/** A name within a sentence; a long one is shortened to its beginning and end. */
export function named(name: string): string {
  if (name.length <= LONGEST_NAME) return name;
  return `${cutTo(name, 24)}…${cutFrom(name, name.length - 12)}`;
}

/**
 * What happened and, after a colon, as many whole words of the reason as fit. Digests are shortened to the digits that
 * people compare. The error itself has the full text.
 */
export function because(what: string, reason: string): string {
  const brief = reason
    .replace(/[0-9a-f]{64}/g, (digest) => `${digest.slice(0, DIGEST_DIGITS)}…`)
    .replace(/[.\s]+$/, '');
  const room = MAX_SENTENCE - what.length - ': .'.length;
  if (brief.length <= room) return `${what}: ${brief}.`;
  const cut = cutTo(brief, Math.max(0, room - 1));
  const lastSpace = cut.lastIndexOf(' ');
  return `${what}: ${(lastSpace > 0 ? cut.slice(0, lastSpace) : cut).replace(/[,;:.]$/, '')}….`;
}

/** Cuts a sentence to the maximum length. */
export function bounded(sentence: string): string {
  return sentence.length <= MAX_SENTENCE ? sentence : `${cutTo(sentence, MAX_SENTENCE - 2)}….`;
}

/** The first `length` units, or one less if that would split a surrogate pair. */
function cutTo(text: string, length: number): string {
  return text.slice(0, isLowSurrogate(text, length) ? length - 1 : length);
}

function cutFrom(text: string, start: number): string {
  return text.slice(isLowSurrogate(text, start) ? start + 1 : start);
}

function isLowSurrogate(text: string, index: number): boolean {
  const unit = text.charCodeAt(index);
  return unit >= 0xdc00 && unit <= 0xdfff;
}
