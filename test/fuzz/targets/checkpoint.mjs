import { generateKeyPairSync, sign } from 'node:crypto';
import { attempt } from '../invariants.mjs';
import { damage } from '../random.mjs';

export const name = 'checkpoint';
export const modules = [
  'audit/format/checkpoint.js',
  'audit/format/note.js',
  'node/crypto.js',
  'base/errors.js',
];

const ORIGIN = `vram-residency/worker-1/${'0a'.repeat(16)}`;

export async function create({
  parseCheckpoint,
  signCheckpoint,
  verifyNote,
  verifierKey,
  nodeCrypto,
  isVramError,
}) {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const raw = new Uint8Array(Buffer.from(publicKey.export({ format: 'jwk' }).x, 'base64url'));
  const signer = { publicKey: raw, sign: async (bytes) => new Uint8Array(sign(null, bytes, privateKey)) };
  const key = await verifierKey(nodeCrypto, ORIGIN, raw);
  const notes = [];
  for (const size of [0, 1, 255, 2 ** 53 - 1]) {
    const root = new Uint8Array(32).fill(size & 255);
    notes.push((await signCheckpoint(nodeCrypto, { origin: ORIGIN, size, root }, signer)).note);
  }
  const signed = new Set(notes.map((note) => note.slice(0, note.lastIndexOf('\n\n') + 1)));
  const LINES = [
    '',
    'x',
    '\u2014 other AAAAAAAA',
    '\u2014 other AAAA',
    '-1',
    '01',
    '1e3',
    '9007199254740993',
    ORIGIN,
    '\u2014',
    'a\u0000b',
    '\ud800',
  ];

  return {
    make(random) {
      const lines = random.pick(notes).split('\n');
      if (random.chance(60)) {
        const at = random.below(lines.length);
        switch (random.below(4)) {
          case 0:
            lines[at] = random.pick(LINES);
            break;
          case 1:
            lines.splice(at, 1);
            break;
          case 2:
            lines.splice(at, 0, random.pick(LINES));
            break;
          default:
            // A signature of somebody else beside ours is not a fault.
            lines.splice(
              lines.length - 1,
              0,
              `\u2014 other ${Buffer.from(random.bytes(5 + random.below(80))).toString('base64')}`,
            );
        }
      }
      const text = lines.join('\n');
      if (random.chance(35)) return new TextDecoder().decode(damage(new TextEncoder().encode(text), random));
      return text;
    },

    async check(text) {
      const { value, refusal } = await attempt(() => parseCheckpoint(text), isVramError);
      if (refusal !== undefined) return refusal;
      const { checkpoint, note } = value;
      const [origin, size, root] = text.split('\n');
      if (checkpoint.origin !== origin || String(checkpoint.size) !== size)
        throw new Error('another checkpoint');
      if (Buffer.from(checkpoint.root).toString('base64') !== root) throw new Error('another root');
      const genuine = await verifyNote(nodeCrypto, note, key);
      if (genuine && !signed.has(note.text)) throw new Error('a forged checkpoint verifies');
      return genuine ? 'accepted' : 'not signed by this key';
    },
  };
}
