/** DEL, C1 controls, line and paragraph separators, and what is not seen or turns the direction of text around. */
const UNSEEN = /[\u007f-\u009f\p{Cf}\u2028\u2029]/gu;

/**
 * JSON text of which a terminal shows every character as it is. JSON itself escapes controls below U+0020 alone; others
 * stand in strings only, so that escapes there change the text and not what it means.
 */
export function visibleJson(text: string): string {
  return text.replace(UNSEEN, (character) => {
    let escapes = '';
    for (let unit = 0; unit < character.length; unit++)
      escapes += `\\u${character.charCodeAt(unit).toString(16).padStart(4, '0')}`;
    return escapes;
  });
}
