import { invalidInput } from '../../base/index.js';

/** The addon's limit. */
const MAX_CHARACTERS = 64 * 1024 * 1024;

/**
 * PTX with every comment and every string replaced by a space, so that what is found in the rest is code. One pass.
 *
 * Text that the driver's compiler might parse differently is refused: a string or comment without an end, a backslash or
 * line break in a string, a line comment that a backslash or a lone carriage return might end elsewhere, and lines for a
 * preprocessor (PTX ISA, "Source Format"). Errors: INVALID_INPUT.
 */
export function ptxCode(ptx: string): string {
  if (ptx.length > MAX_CHARACTERS) throw unclear(`has more than ${MAX_CHARACTERS} characters`);
  if (/\r(?!\n)/.test(ptx)) throw unclear('has a carriage return without a line feed');
  const code: string[] = [];
  const opening = /"|\/\/|\/\*/g;
  let from = 0;
  for (let match = opening.exec(ptx); match !== null; match = opening.exec(ptx)) {
    code.push(ptx.slice(from, match.index));
    from = endOf(match[0], ptx, opening.lastIndex);
    opening.lastIndex = from;
  }
  code.push(ptx.slice(from));
  const text = code.join(' ');
  if (/^[ \t\v\f]*#/m.test(text)) throw unclear('has lines for a preprocessor');
  return text;
}

/** The end of the string or comment whose content begins at `start`. */
function endOf(opening: string, ptx: string, start: number): number {
  if (opening === '//') {
    const end = indexOrEnd(ptx, '\n', start);
    if (/\\\r?$/.test(ptx.slice(Math.max(start, end - 2), end)))
      throw unclear('has a line comment that ends in a backslash');
    return end;
  }
  const close = opening === '"' ? '"' : '*/';
  const end = ptx.indexOf(close, start);
  if (end < 0) throw unclear(`has a ${opening === '"' ? 'string' : 'comment'} without an end`);
  if (opening === '"' && /[\\\r\n]/.test(ptx.slice(start, end)))
    throw unclear('has a backslash or a line break in a string');
  return end + close.length;
}

function indexOrEnd(text: string, character: string, start: number): number {
  const index = text.indexOf(character, start);
  return index < 0 ? text.length : index;
}

function unclear(what: string): Error {
  return invalidInput('module', what);
}
