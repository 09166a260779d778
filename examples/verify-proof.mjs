// node examples/verify-proof.mjs PROOF.json VERIFIER_KEY
//
// Checks the output of `vram-residency audit prove` with only the public key and WebCrypto. It uses no code of
// vram-residency, so it is an independent check. VERIFIER_KEY is the line that `vram-residency audit key` prints, obtained
// from a place that the keeper of the log cannot write to.
import { readFileSync } from 'node:fs';

const { subtle } = globalThis.crypto;
const utf8 = (text) => new TextEncoder().encode(text);
const base64 = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
const same = (a, b) => a.length === b.length && a.every((byte, index) => byte === b[index]);
const sha256 = async (...parts) => {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return new Uint8Array(await subtle.digest('SHA-256', bytes));
};
const node = (left, right) => sha256([1], left, right); // RFC 6962, section 2.1
const check = (holds, what) => {
  if (!holds) throw new Error(what);
};

/** C2SP signed-note and tlog-checkpoint: returns the signed tree size and root. */
async function openCheckpoint(note, verifierKey) {
  const [, name, id, encoded] = /^(\S+)\+([0-9a-f]{8})\+(\S+)$/.exec(verifierKey.trim()) ?? [];
  const key = base64(encoded ?? '');
  check(key.length === 33 && key[0] === 1, 'the verifier key is not an Ed25519 key');
  const keyId = (await sha256(utf8(`${name}\n`), key)).slice(0, 4);
  check(
    same(
      keyId,
      Uint8Array.from(id.match(/../g), (hex) => Number.parseInt(hex, 16)),
    ),
    'the key id is wrong',
  );
  const split = note.lastIndexOf('\n\n');
  const text = note.slice(0, split + 1);
  const line = note
    .slice(split + 2)
    .split('\n')
    .find((each) => each.startsWith(`\u2014 ${name} `));
  check(line !== undefined, 'the checkpoint is not signed by this key');
  const signature = base64(line.split(' ')[2]);
  check(same(signature.slice(0, 4), keyId), 'the signature is of another key');
  const publicKey = await subtle.importKey('raw', key.slice(1), 'Ed25519', false, ['verify']);
  check(
    await subtle.verify('Ed25519', publicKey, signature.slice(4), utf8(text)),
    'the signature does not hold',
  );
  const [origin, size, root] = text.split('\n');
  check(origin === name, 'the checkpoint is of another log');
  return { size: Number(size), root: base64(root) };
}

/** RFC 9162, section 2.1.3.2. */
async function checkInclusion({ leaf, index, hashes }, { size, root }) {
  check(Number.isSafeInteger(index) && index >= 0 && index < size, 'the record is not under the checkpoint');
  let [at, last] = [index, size - 1];
  let hash = await sha256([0], utf8(leaf));
  for (const sibling of hashes.map(base64)) {
    check(last > 0, 'there are too many hashes');
    if (at % 2 === 1 || at === last) {
      hash = await node(sibling, hash);
      while (at % 2 === 0 && at > 0) [at, last] = [at / 2, Math.floor(last / 2)];
    } else hash = await node(hash, sibling);
    [at, last] = [Math.floor(at / 2), Math.floor(last / 2)];
  }
  check(last === 0 && same(hash, root), 'the hashes do not lead to the checkpoint');
}

/** RFC 9162, section 2.1.4.2. */
async function checkConsistency({ hashes }, old, head) {
  check(old.size >= 1 && old.size <= head.size, 'the older checkpoint is not older');
  if (old.size === head.size) {
    check(hashes.length === 0 && same(old.root, head.root), 'two checkpoints of one size differ');
    return;
  }
  const path = hashes.map(base64);
  if (Number.isInteger(Math.log2(old.size))) path.unshift(old.root);
  let [at, last] = [old.size - 1, head.size - 1];
  while (at % 2 === 1) [at, last] = [Math.floor(at / 2), Math.floor(last / 2)];
  let [before, after] = [path[0], path[0]];
  for (const hash of path.slice(1)) {
    check(last > 0, 'there are too many hashes');
    if (at % 2 === 1 || at === last) {
      [before, after] = [await node(hash, before), await node(hash, after)];
      while (at % 2 === 0 && at > 0) [at, last] = [at / 2, Math.floor(last / 2)];
    } else after = await node(after, hash);
    [at, last] = [Math.floor(at / 2), Math.floor(last / 2)];
  }
  check(last === 0 && same(before, old.root) && same(after, head.root), 'the hashes do not lead on');
}

const [file, verifierKey] = process.argv.slice(2);
if (file === undefined || verifierKey === undefined) {
  process.stderr.write('usage: node verify-proof.mjs PROOF.json VERIFIER_KEY\n');
  process.exit(2);
}
try {
  const proof = JSON.parse(readFileSync(file, 'utf8'));
  const head = await openCheckpoint(proof.checkpoint, verifierKey);
  if (proof.kind === 'inclusion') {
    await checkInclusion(proof, head);
    process.stdout.write(`OK: record ${proof.index} of ${head.size}\n${proof.leaf}\n`);
  } else {
    const old = await openCheckpoint(proof.oldCheckpoint, verifierKey);
    await checkConsistency(proof, old, head);
    process.stdout.write(`OK: the first ${old.size} of ${head.size} records are unchanged\n`);
  }
} catch (error) {
  process.stdout.write(`BAD: ${error.message}\n`);
  process.exit(1);
}
