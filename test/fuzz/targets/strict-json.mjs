import { attempt } from '../invariants.mjs';
import { damage } from '../random.mjs';

export const name = 'strict-json';
export const modules = ['base/strict-json.js', 'base/errors.js'];

const SCALARS = [
  'null',
  'true',
  'false',
  '0',
  '-0',
  '-1.5',
  '1e3',
  '2E-2',
  '9007199254740991',
  '9007199254740993',
  '1e999',
  '""',
  '"é"',
  '"\\u0061"',
  '"\\ud800"',
  '"\\n"',
  '01',
  '1.',
  '+1',
];

function value(random, depth) {
  const kind = depth > 3 ? 0 : random.below(4);
  const space = () => random.pick(['', '', '', '', ' ', '\n', '\t']);
  const list = (make) => Array.from({ length: random.below(4) }, make).join(`${space()},${space()}`);
  if (kind === 2) return `[${space()}${list(() => value(random, depth + 1))}]`;
  if (kind === 3) {
    const key = () =>
      random.pick(['"a"', '"b"', '"\\u0061"', '"__proto__"', '"c"', '"d"', '""', '"1"', '"x"', '"y"']);
    return `{${list(() => `${key()}${space()}:${value(random, depth + 1)}`)}${space()}}`;
  }
  return random.pick(SCALARS.slice(0, random.chance(90) ? 8 : SCALARS.length));
}

/** Refused on purpose though JSON.parse takes it. */
const STRICTER = /a key twice|beyond 2\^53|largest double|nested deeper/;

export function create({ parseStrictJson, isVramError }) {
  return {
    make(random) {
      const text = value(random, 0);
      if (random.chance(50)) return text;
      return new TextDecoder().decode(damage(new TextEncoder().encode(text), random));
    },

    async check(text) {
      const { value: ours, refusal } = await attempt(() => parseStrictJson(text), isVramError);
      let theirs;
      try {
        theirs = { value: JSON.parse(text) };
      } catch (error) {
        theirs = { error };
      }
      if (refusal !== undefined) {
        if (theirs.error === undefined && !STRICTER.test(refusal))
          throw new Error(`refused what JSON.parse takes: ${refusal}`);
        return refusal;
      }
      if (theirs.error !== undefined)
        throw new Error(`accepted what JSON.parse refuses: ${theirs.error.message}`);
      if (JSON.stringify(ours) !== JSON.stringify(theirs.value))
        throw new Error('another value than JSON.parse');
      return 'accepted';
    },
  };
}
