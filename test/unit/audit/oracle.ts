import { createHash, createHmac, createPublicKey, hkdfSync, verify } from 'node:crypto';

// What the log must be, by the definitions alone: node:crypto and recursion, nothing of the code under test.

const sha256 = (...parts: readonly Uint8Array[]): Buffer => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/** RFC 6962, section 2.1. */
export function naiveRoot(entries: readonly Uint8Array[]): Buffer {
  const [only] = entries;
  if (only === undefined) return sha256();
  if (entries.length === 1) return sha256(Uint8Array.of(0), only);
  const k = split(entries.length);
  return sha256(Uint8Array.of(1), naiveRoot(entries.slice(0, k)), naiveRoot(entries.slice(k)));
}

/** RFC 6962, section 2.1.1: PATH(m, D[n]). */
export function naivePath(m: number, entries: readonly Uint8Array[]): Buffer[] {
  if (entries.length <= 1) return [];
  const k = split(entries.length);
  return m < k
    ? [...naivePath(m, entries.slice(0, k)), naiveRoot(entries.slice(k))]
    : [...naivePath(m - k, entries.slice(k)), naiveRoot(entries.slice(0, k))];
}

/** RFC 6962, section 2.1.2: PROOF(m, D[n]). */
export function naiveConsistency(m: number, entries: readonly Uint8Array[]): Buffer[] {
  const sub = (size: number, part: readonly Uint8Array[], whole: boolean): Buffer[] => {
    if (size === part.length) return whole ? [] : [naiveRoot(part)];
    const k = split(part.length);
    return size <= k
      ? [...sub(size, part.slice(0, k), whole), naiveRoot(part.slice(k))]
      : [...sub(size - k, part.slice(k), false), naiveRoot(part.slice(0, k))];
  };
  return sub(m, entries, true);
}

function split(n: number): number {
  let k = 1;
  while (k * 2 < n) k *= 2;
  return k;
}

/** Verifies the MACs of lines by the definition. Gives the index of the first that does not hold, or -1. */
export function naiveChain(
  token: Uint8Array,
  workerId: string,
  logId: string,
  lines: readonly string[],
): number {
  let prev: Buffer = Buffer.alloc(32);
  for (const [index, line] of lines.entries()) {
    const { mac, ...record } = JSON.parse(line) as { mac: string; epoch: number; prev: string; seq: number };
    let chainKey = Buffer.from(
      hkdfSync('sha256', token, 'vram-residency', `audit/v1/${workerId}/${logId}`, 32),
    );
    for (let n = 0; n < record.epoch; n++) {
      chainKey = Buffer.from(hkdfSync('sha256', chainKey, '', 'audit/ratchet/v1', 32));
    }
    const macKey = Buffer.from(hkdfSync('sha256', chainKey, '', 'audit/mac/v1', 32));
    const expected = createHmac('sha256', macKey).update(prev).update(canonical(record)).digest('hex');
    if (mac !== expected || record.prev !== prev.toString('hex') || record.seq !== index) return index;
    prev = Buffer.from(mac, 'hex');
  }
  return -1;
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${canonical(member)}`).join(',')}}`;
  }
  return JSON.stringify(value);
}

/** Reads a checkpoint by C2SP signed-note and tlog-checkpoint and verifies its Ed25519 signature. */
export function naiveCheckpoint(
  note: string,
  publicKey: Uint8Array,
): { origin: string; size: number; root: Buffer } {
  const [text, signatures] = note.split('\n\n') as [string, string];
  const [origin, size, root] = text.split('\n') as [string, string, string];
  const [, name, encoded] = /^\u2014 (\S+) (\S+)\n$/.exec(signatures) as unknown as [string, string, string];
  if (name !== origin) throw new Error('the signature has another name');
  const bytes = Buffer.from(encoded, 'base64');
  const id = sha256(Buffer.from(`${name}\n`), Uint8Array.of(1), publicKey).subarray(0, 4);
  if (!bytes.subarray(0, 4).equals(id)) throw new Error('the signature has another key id');
  const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), publicKey]);
  const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
  if (!verify(null, Buffer.from(`${text}\n`), key, bytes.subarray(4)))
    throw new Error('the signature is bad');
  return { origin, size: Number(size), root: Buffer.from(root, 'base64') };
}
