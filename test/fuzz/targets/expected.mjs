import { attempt } from '../invariants.mjs';
import { damage } from '../random.mjs';

export const name = 'expected';
export const modules = ['models/index.js', 'base/errors.js'];

const hex = (random) => Array.from(random.bytes(32), (byte) => byte.toString(16).padStart(2, '0')).join('');

function form(random) {
  switch (random.below(5)) {
    case 0:
      return `sha256:${hex(random)}`;
    case 1:
      return `fsverity-sha256-12:${hex(random)}\n`;
    case 2:
      return `sha256-${Buffer.from(random.bytes(32)).toString('base64')}`;
    case 3:
      return `version https://git-lfs.github.com/spec/v1\noid sha256:${hex(random)}\nsize ${random.next()}\n`;
    default: {
      const line = (i) =>
        random.pick([
          () => `${hex(random)}  ${random.word()}${i}`,
          () => `${hex(random)} *./${random.word()}${i}`,
          () => `SHA256 (${random.word()} (${i})) = ${hex(random)}`,
          () => `\\${hex(random)}  a\\\\b\\n${i}`,
          () => `fsverity-sha256-12:${hex(random)}  ${i}`,
          () => '# comment',
        ])();
      return Array.from({ length: 1 + random.below(4) }, (_, i) => `${line(i)}\n`).join('');
    }
  }
}

export function create({ parseExpected, isVramError }) {
  return {
    make(random) {
      const text = form(random);
      return random.chance(60)
        ? new TextDecoder().decode(damage(new TextEncoder().encode(text), random))
        : text;
    },

    async check(text) {
      const { value: expected, refusal } = await attempt(() => parseExpected(text), isVramError);
      if (refusal !== undefined) return refusal;
      const known = expected.kind === 'digest' ? ['any'] : expected.names;
      if (known.length === 0) throw new Error('a list without names');
      for (const file of known) {
        const { digest } = expected.for(file);
        if (!/^(sha256|fsverity-sha256-12):[0-9a-f]{64}$/.test(digest)) throw new Error(`digest ${digest}`);
        const written = digest.slice(-64);
        const base64 = Buffer.from(written, 'hex').toString('base64');
        if (!text.toLowerCase().includes(written) && !text.includes(base64))
          throw new Error('a digest from nowhere');
      }
      const stranger = await attempt(() => expected.for('no such file'), isVramError);
      if (expected.kind === 'list' && stranger.refusal === undefined)
        throw new Error('a list that names every file');
      return 'accepted';
    },
  };
}
