import { attempt } from '../invariants.mjs';
import { damage } from '../random.mjs';

export const name = 'sharded-index';
export const modules = ['models/index.js', 'base/errors.js'];

const FILES = [
  'm-1.safetensors',
  'm-2.safetensors',
  'é.safetensors',
  '../m.safetensors',
  'a/b.safetensors',
  'C:m.safetensors',
  '.safetensors',
  'm.bin',
  'm\\u0000.safetensors',
  '\\u002e\\u002e\\u002fm.safetensors',
  '',
];

export function create({ readShardedIndex, bytesAccess, isVramError }) {
  return {
    make(random) {
      const entries = Array.from({ length: random.below(6) }, (_, i) => {
        const file = random.chance(90) ? FILES[random.below(3)] : random.pick(FILES);
        return `${JSON.stringify(random.chance(95) ? `${random.word()}.${i}` : 'a')}:"${file}"`;
      });
      const members = [`"weight_map":{${entries.join(',')}}`];
      if (random.chance(60))
        members.unshift(
          `"metadata":${random.pick(['{}', '{"total_size":12}', '{"x":[1,{"y":null}]}', '[-1.5e3,"a\\n"]', '01', 'nul'])}`,
        );
      if (random.chance(5)) members.push(random.pick(['"weight_map":{}', '"dtype":"x"', '"metadata":1']));
      const text = new TextEncoder().encode(`{${members.join(', ')}}${random.pick(['', '\n', ' ', 'x'])}`);
      return random.chance(40) ? damage(text, random) : text;
    },

    async check(bytes) {
      const { value: index, refusal } = await attempt(
        () => readShardedIndex(bytesAccess(bytes), 'x'),
        isVramError,
      );
      if (refusal !== undefined) return refusal;
      const parsed = JSON.parse(new TextDecoder().decode(bytes));
      const theirs = JSON.stringify(Object.entries(parsed.weight_map).sort());
      if (JSON.stringify([...index.fileOf].sort()) !== theirs) throw new Error('another map than JSON.parse');
      for (const file of index.files) {
        if (/[/\\:\0]|^\./.test(file) || !file.endsWith('.safetensors')) throw new Error(`file name ${file}`);
      }
      return 'accepted';
    },
  };
}
