import { invalidInput } from '../../base/index.js';
import { ptxCode } from './ptx-text.js';

/** Sizes in bytes of a kernel's parameters, in order. */
export type ParameterSizes = readonly number[];

const PARAMETER_BYTES: ReadonlyMap<string, number> = new Map([
  ['b8', 1],
  ['u8', 1],
  ['s8', 1],
  ['b16', 2],
  ['u16', 2],
  ['s16', 2],
  ['f16', 2],
  ['b32', 4],
  ['u32', 4],
  ['s32', 4],
  ['f32', 4],
  ['b64', 8],
  ['u64', 8],
  ['s64', 8],
  ['f64', 8],
]);

/** PTX identifiers (PTX ISA, "Identifiers"): [a-zA-Z][followsym]* or [_$%][followsym]+. */
const NAME = '[a-zA-Z_$%][a-zA-Z0-9_$]*';
/** PTX has only ASCII white space. */
const SPACE = '[ \\t\\n\\v\\f\\r]';
const ENTRY = new RegExp(`\\.entry${SPACE}+(${NAME})${SPACE}*(\\(?)`, 'g');
const PARAMETER = new RegExp(
  '^\\.param\\s+(?:\\.align\\s+\\d+\\s+)?\\.([a-z]+\\d+)' +
    `(?:\\s+\\.ptr(?:\\s+\\.(?:global|const|shared|local))?(?:\\s+\\.align\\s+\\d+)?)?\\s+${NAME}(\\[\\d+\\])?$`,
);

/**
 * The parameters of an entry as the PTX declares them; null if there is no such entry. The driver reads as many
 * arguments as the kernel declares, however many were passed, so a launch is checked against this first. A declaration
 * that is not a single number or pointer gives NaN, which no argument matches.
 *
 * Errors: INVALID_INPUT for text that the driver's compiler might parse differently, and for an entry with two
 * different declarations.
 */
export function entryParameters(ptx: string, entry: string): ParameterSizes | null {
  let found: string | null = null;
  for (const { name, list } of entries(ptxCode(ptx))) {
    if (name !== entry) continue;
    if (found !== null && found !== list) throw invalidInput('module', 'declares this entry in two ways');
    found = list;
  }
  return found === null ? null : parameterSizes(found);
}

/** Every declaration of an entry, with the text in its parentheses. */
function* entries(code: string): Generator<{ readonly name: string; readonly list: string }> {
  const entry = new RegExp(ENTRY);
  for (let match = entry.exec(code); match !== null; match = entry.exec(code)) {
    const [, name = '', bracket] = match;
    const start = entry.lastIndex;
    const end = bracket === '' ? start : code.indexOf(')', start);
    if (end < 0) throw invalidInput('module', 'has an entry whose list of parameters does not end');
    yield { name, list: code.slice(start, end).trim() };
    entry.lastIndex = end;
  }
}

function parameterSizes(list: string): ParameterSizes {
  const declarations = list === '' ? [] : list.split(',');
  return declarations.map((declaration) => {
    const match = PARAMETER.exec(declaration.trim());
    if (match === null || match[2] !== undefined) return Number.NaN;
    return PARAMETER_BYTES.get(match[1] ?? '') ?? Number.NaN;
  });
}
