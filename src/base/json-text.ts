/** DEL, C1 controls, line and paragraph separators, and characters that are invisible or reverse the direction of text. */
const UNSEEN = /[\u007f-\u009f\p{Cf}\u2028\u2029]/gu;

/**
 * JSON text that a terminal shows character by character. JSON itself escapes only controls below U+0020; the others
 * occur only inside strings, where an escape does not change the meaning.
 */
export function visibleJson(text: string): string {
  return text.replace(UNSEEN, (character) => {
    let escapes = '';
    for (let unit = 0; unit < character.length; unit++)
      escapes += `\\u${character.charCodeAt(unit).toString(16).padStart(4, '0')}`;
    return escapes;
  });
}
