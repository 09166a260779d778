import {
  checkBase64,
  invalidInput,
  isVramError,
  type JsonObject,
  type JsonValue,
  toBase64,
  utf8,
} from '../../base/index.js';
import type { CryptoProvider } from '../../crypto/index.js';
import {
  leafHash,
  parseCheckpoint,
  parseJsonObject,
  parseVerifierKey,
  type SignedCheckpoint,
  verifyNote,
} from '../format/index.js';
import { verifyConsistency, verifyInclusion } from './proof.js';

/** Proves that one record is in the log whose head a checkpoint signs. */
export interface InclusionDocument {
  readonly v: 1;
  readonly kind: 'inclusion';
  readonly origin: string;
  readonly index: number;
  readonly treeSize: number;
  /** The record's line, without its newline, of which the leaf is the hash. */
  readonly leaf: string;
  /** Base64, from the leaf upwards. */
  readonly hashes: readonly string[];
  readonly checkpoint: string;
}

/**
 * Proves that the log of an older checkpoint is a prefix of that of a newer one: nothing was changed or removed in
 * between.
 */
export interface ConsistencyDocument {
  readonly v: 1;
  readonly kind: 'consistency';
  readonly origin: string;
  readonly oldSize: number;
  readonly newSize: number;
  readonly hashes: readonly string[];
  readonly oldCheckpoint: string;
  readonly checkpoint: string;
}

export type ProofDocument = InclusionDocument | ConsistencyDocument;

/** The result of checking a proof. */
export interface ProofReport {
  readonly v: 1;
  readonly ok: boolean;
  readonly kind: 'inclusion' | 'consistency';
  readonly origin: string;
  /** Records under the (newer) checkpoint. */
  readonly treeSize: number;
  readonly index: number | null;
  readonly oldSize: number | null;
  /** The record, proved; null for a consistency proof and where the proof fails. */
  readonly leaf: string | null;
  /** Why the proof fails, or null. */
  readonly reason: string | null;
}

/** Proofs are a few kilobytes; a record's line is at most 64 KiB, escaped once more. */
const MAX_DOCUMENT_LENGTH = 262_144;

export function inclusionDocument(
  checkpoint: SignedCheckpoint,
  index: number,
  leaf: string,
  hashes: readonly Uint8Array[],
): InclusionDocument {
  const { origin, size, note } = checkpoint;
  return {
    v: 1,
    kind: 'inclusion',
    origin,
    index,
    treeSize: size,
    leaf,
    hashes: hashes.map(toBase64),
    checkpoint: note,
  };
}

export function consistencyDocument(
  old: SignedCheckpoint,
  checkpoint: SignedCheckpoint,
  hashes: readonly Uint8Array[],
): ConsistencyDocument {
  return {
    v: 1,
    kind: 'consistency',
    origin: checkpoint.origin,
    oldSize: old.size,
    newSize: checkpoint.size,
    hashes: hashes.map(toBase64),
    oldCheckpoint: old.note,
    checkpoint: checkpoint.note,
  };
}

/** Reads an untrusted proof. Errors: INVALID_INPUT naming `proof`. */
export function parseProof(text: string): ProofDocument {
  if (text.length > MAX_DOCUMENT_LENGTH) {
    throw invalidInput('proof', `must be at most ${MAX_DOCUMENT_LENGTH} characters`);
  }
  const object = parseJsonObject(text, 'proof');
  if (object['v'] !== 1) throw invalidInput('proof', 'must have "v": 1');
  const common = {
    v: 1,
    origin: stringOf(object, 'origin'),
    hashes: hashesOf(object['hashes']),
    checkpoint: stringOf(object, 'checkpoint'),
  } as const;
  if (object['kind'] === 'inclusion') {
    return {
      ...common,
      kind: 'inclusion',
      index: countOf(object, 'index'),
      treeSize: countOf(object, 'treeSize'),
      leaf: stringOf(object, 'leaf'),
    };
  }
  if (object['kind'] === 'consistency') {
    return {
      ...common,
      kind: 'consistency',
      oldSize: countOf(object, 'oldSize'),
      newSize: countOf(object, 'newSize'),
      oldCheckpoint: stringOf(object, 'oldCheckpoint'),
    };
  }
  throw invalidInput('proof', 'must have the kind "inclusion" or "consistency"');
}

/**
 * Checks a proof with the public key alone; reads nothing but its arguments. Errors: INVALID_INPUT for a proof or key
 * that cannot be read; a proof that does not hold gives a report with `ok: false`.
 */
export async function verifyProofDocument(
  crypto: CryptoProvider,
  text: string,
  verifierKey: string,
): Promise<ProofReport> {
  const proof = parseProof(text);
  const key = await parseVerifierKey(crypto, verifierKey);
  const { origin } = proof;
  const reason =
    key.name !== origin
      ? 'the verifier key is that of another log'
      : await (proof.kind === 'inclusion'
          ? inclusionFault(crypto, proof, verifierKey)
          : consistencyFault(crypto, proof, verifierKey));
  return {
    v: 1,
    ok: reason === null,
    kind: proof.kind,
    origin,
    treeSize: proof.kind === 'inclusion' ? proof.treeSize : proof.newSize,
    index: proof.kind === 'inclusion' ? proof.index : null,
    oldSize: proof.kind === 'consistency' ? proof.oldSize : null,
    leaf: proof.kind === 'inclusion' && reason === null ? proof.leaf : null,
    reason,
  };
}

async function inclusionFault(
  crypto: CryptoProvider,
  proof: InclusionDocument,
  verifierKey: string,
): Promise<string | null> {
  const head = await signedHead(crypto, proof.checkpoint, verifierKey, proof.origin);
  if (typeof head === 'string') return head;
  if (head.size !== proof.treeSize) return 'the checkpoint is of another tree size';
  const leaf = await leafHash(crypto, utf8(proof.leaf));
  const path = { index: proof.index, size: head.size, hashes: bytesOf(proof.hashes) };
  return (await verifyInclusion(crypto, path, leaf, head.root))
    ? null
    : 'the hashes do not lead from the record to the checkpoint';
}

async function consistencyFault(
  crypto: CryptoProvider,
  proof: ConsistencyDocument,
  verifierKey: string,
): Promise<string | null> {
  const old = await signedHead(crypto, proof.oldCheckpoint, verifierKey, proof.origin);
  if (typeof old === 'string') return `the older checkpoint: ${old}`;
  const head = await signedHead(crypto, proof.checkpoint, verifierKey, proof.origin);
  if (typeof head === 'string') return head;
  if (old.size !== proof.oldSize || head.size !== proof.newSize)
    return 'a checkpoint is of another tree size';
  const path = { oldSize: old.size, newSize: head.size, hashes: bytesOf(proof.hashes) };
  return (await verifyConsistency(crypto, path, old.root, head.root))
    ? null
    : 'the hashes do not lead from the older checkpoint to the newer one';
}

async function signedHead(
  crypto: CryptoProvider,
  note: string,
  verifierKey: string,
  origin: string,
): Promise<SignedCheckpoint | string> {
  try {
    const read = parseCheckpoint(note);
    if (read.checkpoint.origin !== origin) return 'the checkpoint is of another log';
    const signed = await verifyNote(crypto, read.note, await parseVerifierKey(crypto, verifierKey));
    return signed ? read.checkpoint : "the checkpoint is not signed by the log's key";
  } catch (error) {
    if (isVramError(error, 'INVALID_INPUT')) return 'the checkpoint cannot be read';
    throw error;
  }
}

function bytesOf(hashes: readonly string[]): Uint8Array[] {
  return hashes.map((hash) => checkBase64('proof', hash));
}

function stringOf(object: JsonObject, field: string): string {
  const value = object[field];
  if (typeof value !== 'string') throw invalidInput('proof', `must have text in "${field}"`);
  return value;
}

function countOf(object: JsonObject, field: string): number {
  const value = object[field];
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
    throw invalidInput('proof', `must have a count in "${field}"`);
  }
  return value;
}

function hashesOf(value: JsonValue | undefined): string[] {
  if (!Array.isArray(value)) throw invalidInput('proof', 'must have a list in "hashes"');
  return value.map((hash) => {
    if (typeof hash !== 'string') throw invalidInput('proof', 'must have text in "hashes"');
    return hash;
  });
}
