// Mutants of the device code: one constant, bound, operator or index changed at a time. Pure: texts in, mutants out.

/** The replacements of a token. Numbers change by one; comparisons, logic and arithmetic swap with a neighbour. */
const OPERATORS = new Map([
  ['>=', '>'],
  ['<=', '<'],
  ['==', '!='],
  ['<', '<='],
  ['>', '>='],
  ['||', '&&'],
  ['&&', '||'],
  ['+', '-'],
  ['-', '+'],
  ['*', '+'],
  ['^=', '='],
  ['<<', '>>'],
  ['>>', '<<'],
  ['&', '|'],
  ['|', '&'],
  ['+=', '='],
]);

const WGSL_TOKEN =
  /\/\/[^\n]*|@[a-z_]+(?:\([^)]*\))?|\b(?:vec4|array|atomic)<[^>]*(?:>>|>)|->|0x[0-9a-f]+u|\b\d+u?\b|[A-Za-z_][A-Za-z0-9_]*|>=|<=|==|\|\||&&|\^=|\+=|\+\+|<<|>>|[-+*<>&|^]/g;

/** Mutants of a WGSL text. Types, attributes, declarations and comments stay. */
export function wgslMutants(name, text) {
  const mutants = [];
  for (const match of text.matchAll(WGSL_TOKEN)) {
    const [token] = match;
    if (isDeclaration(text, match.index)) continue;
    const into = /^(0x[0-9a-f]+u|\d+u?)$/.test(token) ? changedNumber(token) : OPERATORS.get(token);
    if (into !== undefined) mutants.push(mutant(name, text, match.index, token, into));
  }
  return mutants;
}

/** Interfaces that the host has to match, and the address-of operator: a change there does not compile. */
function isDeclaration(text, index) {
  const start = text.lastIndexOf('\n', index) + 1;
  if (/^(@|fn |struct | {2}[a-z_]+: )/.test(text.slice(start))) return true;
  return /^&[a-z]/.test(text.slice(index)) && text[index - 1] === '(';
}

function changedNumber(token) {
  if (token.startsWith('0x')) {
    const value = (Number.parseInt(token, 16) ^ 1) >>> 0;
    return `0x${value.toString(16).padStart(token.length - 3, '0')}u`;
  }
  const unsigned = token.endsWith('u');
  return `${Number.parseInt(token, 10) + 1}${unsigned ? 'u' : ''}`;
}

/** PTX comparisons that swap, by the suffix of setp. */
const PTX_SETP = { eq: 'ne', ne: 'eq', lt: 'le', le: 'lt', gt: 'ge', ge: 'gt' };
const PTX_SWAP = {
  'add.s32': 'sub.s32',
  'add.s64': 'sub.s64',
  'and.pred': 'or.pred',
  'or.pred': 'and.pred',
  'shl.b64': 'shr.u64',
  'shr.u64': 'shl.b64',
};

/** Mutants of a line of PTX: its operation, its immediates, its address offset, its predicate. */
function ptxLineMutants(line) {
  const found = [];
  const code = line.trim();
  if (code === '' || /^(\/\/|\.|[{}(),]|\$)/.test(code)) return found;
  const setp = /setp\.(\w\w)\./.exec(line);
  if (setp?.[1] in PTX_SETP) {
    found.push([setp.index, `setp.${setp[1]}.`, `setp.${PTX_SETP[setp[1]]}.`]);
  }
  for (const [from, to] of Object.entries(PTX_SWAP)) {
    const at = line.indexOf(`${from} `);
    if (at >= 0) found.push([at, from, to]);
  }
  const guard = /@(!?)%p/.exec(line);
  if (guard !== null) found.push([guard.index, guard[0], guard[1] === '!' ? '@%p' : '@!%p']);
  const offset = /\[(%rd\d+)(\+(\d+))?\]/.exec(line);
  if (offset !== null) {
    found.push([offset.index, offset[0], `[${offset[1]}+${Number(offset[3] ?? 0) + 16}]`]);
  }
  const immediate = /, (-?\d+)(?=[,;])/.exec(line);
  if (immediate !== null) {
    const changed = String(Number(immediate[1]) + 1);
    found.push([immediate.index, immediate[0], `, ${changed}`]);
  }
  return found;
}

/**
 * Mutants of the PTX: every line outside the rounds that can be changed, and of the rounds' thousands of lines every
 * `stride`-th. Lines of the rounds are those between two that touch memory or control.
 */
export function ptxMutants(name, text, stride) {
  const mutants = [];
  const lines = text.split('\n');
  let start = 0;
  let inRounds = 0;
  for (const line of lines) {
    const frame = /setp|bra|ld\.|st\.|cvta|ctaid|ntid|tid|atom|selp|pred|u64|s64|b64|mul/.test(line);
    for (const [at, from, to] of ptxLineMutants(line)) {
      if (!frame && inRounds++ % stride !== 0) continue;
      mutants.push(mutant(name, text, start + at, from, to));
    }
    start += line.length + 1;
  }
  return mutants;
}

function mutant(name, text, index, from, to) {
  const line = text.slice(0, index).split('\n').length;
  const source = text.split('\n')[line - 1]?.trim() ?? '';
  return {
    file: name,
    line,
    from,
    to,
    source,
    text: text.slice(0, index) + to + text.slice(index + from.length),
  };
}

/** At most `limit` of a list, spread evenly. */
export function spread(list, limit) {
  if (list.length <= limit) return list;
  return Array.from({ length: limit }, (_, i) => list[Math.floor((i * list.length) / limit)]);
}
