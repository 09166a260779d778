import { damage } from '../random.mjs';

export const name = 'handle';
export const modules = ['seal/index.js', 'node/crypto.js', 'base/errors.js'];

const PAYLOAD = {
  v: 1,
  sealId: '00112233445566778899aabbccddeeff',
  sealed: true,
  shardId: 'shard-1',
  workerId: 'worker-1',
  device: { backend: 'webgpu', index: 0, name: 'A GPU é', uuid: null },
  byteLength: 4097,
  sha256: null,
  fsverity: `fsverity-sha256-12:${'ab'.repeat(32)}`,
  sealedAt: '2026-01-02T03:04:05.678Z',
  residency: 'unproven',
  immutability: 'usage-locked',
  emulated: false,
  modelRef: 'org/model',
  shardIndex: 0,
  totalShards: 2,
};

const VALUES = [
  'null',
  'true',
  '""',
  '"x"',
  '0',
  '-0',
  '-1',
  '1.5',
  '2',
  '1e3',
  '9007199254740993',
  '[]',
  '{}',
  '"\\ud800"',
  '"\\u0000"',
];
const KEYS = [
  ...Object.keys(PAYLOAD),
  'signature',
  '__proto__',
  'constructor',
  'toJSON',
  'extra',
  'backend',
  'V',
];

/** JSON text of an object by hand, so that keys may come twice and in any order. */
const object = (members) => `{${members.map(([key, value]) => `${JSON.stringify(key)}:${value}`).join(',')}}`;
const members = (value) => Object.entries(value).map(([key, inner]) => [key, JSON.stringify(inner)]);

function shuffle(list, random) {
  for (let i = list.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [list[i], list[j]] = [list[j], list[i]];
  }
  return list;
}

/** One change to the list of members; `depth` of the device is reached through its text. */
function change(list, random) {
  const at = random.below(list.length);
  switch (random.below(6)) {
    case 0:
      list[at] = [list[at][0], random.pick(VALUES)];
      break;
    case 1:
      list.splice(at, 1);
      break;
    case 2:
      list.splice(at, 0, [random.pick(KEYS), random.pick(VALUES)]);
      break;
    case 3:
      list.push(list[at]);
      break;
    case 4: {
      const device = list.find(([key]) => key === 'device');
      if (device === undefined) break;
      const inner = members(PAYLOAD.device);
      change(inner, random);
      device[1] = inner.length === 0 ? '{}' : object(inner);
      break;
    }
    default: {
      const signature = list.find(([key]) => key === 'signature');
      if (signature === undefined) break;
      const text = JSON.parse(signature[1]);
      if (typeof text === 'string') signature[1] = JSON.stringify(forged(text, random));
    }
  }
}

function forged(text, random) {
  const at = random.below(text.length + 1);
  switch (random.below(6)) {
    case 0:
      return `${text.slice(0, at)}${random.pick([...'AZaz09-_+/= '])}${text.slice(at + 1)}`;
    case 1:
      return text.slice(0, at);
    case 2:
      return `${text}${random.pick(['=', 'A', 'AAAA', '\n'])}`;
    case 3:
      return '';
    case 4:
      return 'A'.repeat(43);
    default:
      return [...text].reverse().join('');
  }
}

/** Objects that JSON cannot say. */
const EXOTIC = [
  () => null,
  () => undefined,
  () => [],
  () => 5,
  () => () => 0,
  (handle) => ({ ...handle, [Symbol('x')]: 1 }),
  (handle) => Object.assign(Object.create({ inherited: 1 }), handle),
  (handle) => Object.defineProperty({ ...handle }, 'shardId', { get: () => 'shard-1', enumerable: true }),
  (handle) => Object.defineProperty({ ...handle }, 'shardId', { value: 'shard-1', enumerable: false }),
  (handle) => ({ ...handle, device: new Proxy({ ...handle.device }, { ownKeys: () => ['backend'] }) }),
  (handle) => ({ ...handle, byteLength: Object(4097) }),
  (handle) => ({ ...handle, shardId: new String('shard-1') }),
  (handle) => ({ ...handle, byteLength: 4097n }),
  (handle) => ({ ...handle, toJSON: () => handle }),
  (handle) => ({ ...handle, sha256: undefined }),
];

export async function create({ deriveSealKey, signSeal, verifySignature, nodeCrypto, isVramError }) {
  const key = await deriveSealKey(nodeCrypto, new Uint8Array(32).fill(7), 'worker-1');
  const genuine = (await signSeal(key, PAYLOAD)).toJSON();
  const sorted = (value) =>
    JSON.stringify(value, (_key, inner) =>
      typeof inner === 'object' && inner !== null && !Array.isArray(inner)
        ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
        : inner,
    );
  const expected = sorted(genuine);

  return {
    make(random) {
      if (random.chance(8)) return { exotic: random.below(EXOTIC.length) };
      const list = shuffle(members(genuine), random);
      if (random.chance(70))
        for (let i = 1 + random.below(2); i > 0; i--) if (list.length > 0) change(list, random);
      const text = list.length === 0 ? '{}' : object(list);
      if (random.chance(25)) return new TextDecoder().decode(damage(new TextEncoder().encode(text), random));
      return random.chance(30) ? ` ${text}\n` : text;
    },

    async check(input) {
      const handle = typeof input === 'string' ? input : EXOTIC[input.exotic](genuine);
      let sealId;
      try {
        sealId = await verifySignature(key, handle);
      } catch (error) {
        if (
          !['INVALID_INPUT', 'NOT_SEALED', 'SEAL_VERIFICATION_FAILED'].some((code) =>
            isVramError(error, code),
          )
        )
          throw error;
        if (error.message.includes(genuine.signature)) throw new Error('a refusal shows the signature');
        if (typeof input === 'string' && isGenuine(input))
          throw new Error(`refused a genuine handle: ${error.message}`);
        return `${error.code} ${error.message}`;
      }
      if (sealId !== PAYLOAD.sealId) throw new Error(`another seal id: ${sealId}`);
      if (typeof input !== 'string') throw new Error(`accepted exotic object ${input.exotic}`);
      if (sorted(JSON.parse(input)) !== expected) throw new Error('accepted another handle than was signed');
      return 'accepted';
    },
  };

  /** The same content, each key once: a naive reading that counts keys. */
  function isGenuine(text) {
    try {
      if (sorted(JSON.parse(text)) !== expected) return false;
    } catch {
      return false;
    }
    let keys = 0;
    JSON.parse(text, (key) => {
      if (key !== '') keys++;
      return undefined;
    });
    // Strings of the genuine handle hold no `":`, so each of these ends a key.
    return keys === (text.match(/"\s*:/g) ?? []).length && !/-0\b(?!\.)/.test(text);
  }
}
