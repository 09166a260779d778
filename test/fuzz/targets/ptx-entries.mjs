import { attempt } from '../invariants.mjs';
import { damage } from '../random.mjs';

export const name = 'ptx-entries';
export const modules = ['device/cuda/ptx-entries.js', 'base/errors.js'];

const TYPES = {
  b8: 1,
  u8: 1,
  s8: 1,
  u16: 2,
  f16: 2,
  b32: 4,
  u32: 4,
  s32: 4,
  f32: 4,
  b64: 8,
  u64: 8,
  s64: 8,
  f64: 8,
};
const NAMES = ['f', 'kernel_1', '%odd', '$x', '_Z3addPf', 'f$1', 'a'.repeat(60)];
const SPACE = ['', ' ', '\n', '\t', ' // entry f(.param .u8 x)\n', ' /* .entry f() */ '];

/** Why a kernel would be refused: a launch needs the parameters to be known. */
const outcomeOf = (sizes) => {
  const odd = sizes.findIndex(Number.isNaN);
  return odd < 0 ? 'accepted' : `${['the first', 'the second'][odd] ?? 'a later'} parameter is not a number`;
};

export function create({ entryParameters, isVramError }) {
  return {
    make(random) {
      const entries = Array.from({ length: 1 + random.below(3) }, (_, i) => {
        const entry = i === 0 ? 'requested' : random.pick(NAMES);
        const parameters = Array.from({ length: random.below(5) }, (_inner, j) => {
          const type = random.pick(Object.keys(TYPES));
          const align = random.chance(20) ? ' .align 8' : '';
          const pointer = type === 'u64' && random.chance(40) ? ' .ptr .global .align 16' : '';
          const array = random.chance(8) ? '[4]' : '';
          return {
            text: `.param${align} .${type}${pointer} ${entry}_${j}${array}`,
            size: array === '' ? TYPES[type] : Number.NaN,
          };
        });
        return { entry, parameters };
      });
      const order = random.chance(50) ? entries : [...entries].reverse();
      const body = order
        .map(
          ({ entry, parameters }) =>
            `${random.pick(['.visible ', '', '.weak '])}.entry${random.pick([' ', '\n', '\t'])}${entry}` +
            `${random.pick(SPACE)}(${random.pick(SPACE)}` +
            `${parameters.map(({ text }) => text).join(`${random.pick(SPACE)},${random.pick(['', ' ', '\n'])}`)}` +
            `${random.pick(SPACE)})\n{\n  ret;\n}\n`,
        )
        .join('');
      const text = `.version 8.0\n.target sm_75\n.address_size 64\n${body}`;
      if (random.chance(40)) {
        return {
          text: new TextDecoder().decode(damage(new TextEncoder().encode(text), random)),
          sizes: null,
        };
      }
      return { text, sizes: random.chance(90) ? entries[0].parameters.map(({ size }) => size) : 'none' };
    },

    async check({ text, sizes }) {
      const requested = sizes === 'none' ? 'absent' : 'requested';
      const { value: found, refusal } = await attempt(() => entryParameters(text, requested), isVramError);
      if (refusal !== undefined) {
        if (sizes !== null) throw new Error(`refused text that nobody damaged: ${refusal}`);
        return refusal;
      }
      if (found === null) {
        if (Array.isArray(sizes)) throw new Error('an entry was not found');
        return sizes === 'none' ? 'no such entry' : 'no entry left by the damage';
      }
      if (sizes === 'none') throw new Error('an entry that is not there was found');
      if (Array.isArray(sizes) && JSON.stringify(found) !== JSON.stringify(sizes)) {
        throw new Error(`sizes ${JSON.stringify(found)} for ${JSON.stringify(sizes)}`);
      }
      for (const size of found) {
        if (!Number.isNaN(size) && ![1, 2, 4, 8].includes(size)) throw new Error(`size ${size}`);
      }
      return outcomeOf(found);
    },
  };
}
