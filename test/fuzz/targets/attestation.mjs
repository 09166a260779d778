import { createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { attempt } from '../invariants.mjs';
import { damage } from '../random.mjs';

export const name = 'attestation';
export const modules = ['attest/index.js', 'node/crypto.js', 'base/errors.js'];

const { vectors, seed } = JSON.parse(
  readFileSync(new URL('../../vectors/attestation.json', import.meta.url), 'utf8'),
);
const key = createPrivateKey({
  key: Buffer.from(`302e020100300506032b657004220420${seed}`, 'hex'),
  format: 'der',
  type: 'pkcs8',
});
const publicKey = new Uint8Array(createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32));
const TYPE = 'application/vnd.in-toto+json';

const VALUES = [null, true, 0, -1, 1.5, 2 ** 53, '', 'x', 'a'.repeat(64), 'AB'.repeat(16), [], {}, [null]];

/** Any value of a tree replaced, any key removed or added. */
function mutate(tree, random) {
  const places = [];
  const walk = (node) => {
    if (typeof node !== 'object' || node === null) return;
    for (const at of Object.keys(node)) {
      places.push([node, at]);
      walk(node[at]);
    }
  };
  walk(tree);
  const [node, at] = random.pick(places);
  switch (random.below(3)) {
    case 0:
      node[at] = random.pick(VALUES);
      break;
    case 1:
      if (Array.isArray(node)) node.length = 0;
      else delete node[at];
      break;
    default:
      if (!Array.isArray(node)) node[random.word()] = random.pick(VALUES);
  }
  return tree;
}

/** Signed with the right key, whatever it says: the reader's own checks stand alone then. */
function envelope(payload) {
  const encoded = Buffer.concat([Buffer.from(`DSSEv1 ${TYPE.length} ${TYPE} ${payload.length} `), payload]);
  return {
    payload: payload.toString('base64'),
    payloadType: TYPE,
    signatures: [{ keyid: '', sig: sign(null, encoded, key).toString('base64') }],
  };
}

export function create({ verifyAttestation, nodeCrypto, isVramError }) {
  return {
    make(random) {
      const { statement } = random.pick(vectors);
      const content = structuredClone(statement);
      const text = JSON.stringify(random.chance(30) ? mutate(content, random) : content);
      const whole = envelope(Buffer.from(random.chance(10) ? damage(Buffer.from(text), random) : text));
      if (random.chance(20)) return JSON.stringify(mutate(whole, random));
      const outer = JSON.stringify(whole);
      return random.chance(30)
        ? new TextDecoder().decode(damage(new TextEncoder().encode(outer), random))
        : outer;
    },

    async check(text) {
      const { value: report, refusal } = await attempt(
        () => verifyAttestation(nodeCrypto, text, { publicKey, nonce: null }),
        // Whatever an attacker writes is not genuine; it is never a mistake of the caller's.
        (error) => isVramError(error, 'SEAL_VERIFICATION_FAILED'),
      );
      if (refusal !== undefined) return refusal;
      // Accepted: then it says what was signed, in full, and nothing else.
      const signed = JSON.parse(Buffer.from(JSON.parse(text).payload, 'base64').toString());
      if (JSON.stringify(sorted(signed)) !== JSON.stringify(sorted(report.statement)))
        throw new Error('another statement than was signed');
      const { subject, predicate } = report.statement;
      if (subject[0].digest['fsverity-sha256-12'] !== predicate.fsverity.slice(19))
        throw new Error('a subject that is not its predicate');
      return 'accepted';
    },
  };
}

function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((at) => [at, sorted(value[at])]),
  );
}
