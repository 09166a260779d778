import { hash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { env } from 'node:process';
import { invalidInput, VramError } from '../../base/index.js';
import { BLOCK_BYTES, HASH_BYTES, type NativeSink } from '../../digest/index.js';
import { hasFunctions, optionalAddon } from '../addon/index.js';

const VARIABLE = 'VRAM_RESIDENCY_HASHER';
/** Names node:crypto, which hashes one block after another. */
const NODE = 'node';
/** More blocks than any hasher takes at once, and not a multiple of any hasher's group. */
const PROOF_BLOCKS = 37;

/** Threads that hash one input together: those of libuv's pool, which has four. */
export const HASH_THREADS = Math.min(availableParallelism(), 4);

/** One of the addon's block hashers, which hash many blocks at once. */
export interface NativeHasher {
  /** `avx512`, `sha-ni`, `avx2` or `armv8`. */
  readonly name: string;
  /** Hashes whole blocks into `hashes`, 32 bytes each, before it returns. */
  hash(blocks: Uint8Array, hashes: Uint8Array): void;
  /** The same in threads, by default in one. Until it settles neither array may be changed, detached or resized. */
  hashAsync(blocks: Uint8Array, hashes: Uint8Array, threads?: number): Promise<void>;
  /**
   * Hashes `length` bytes of an open file from `offset` on, which threads read; a last partial block is zero-padded.
   * Resolves to the number of bytes present, up to the first that is missing. The descriptor may be closed meanwhile;
   * `hashes` must stay untouched as above. The bytes are copied to `sink` too. Errors: the addon's, with `code` SYSTEM and
   * Node's `errno`, or CLOSED once the sink is withdrawn.
   */
  hashFile(
    descriptor: number,
    offset: number,
    length: number,
    hashes: Uint8Array,
    sink?: NativeSink,
  ): Promise<number>;
  /** The same without hashing. */
  readFile(descriptor: number, offset: number, length: number, sink: NativeSink): Promise<number>;
}

interface DigestAddon {
  blockHasherNames(): string[];
  hashBlocks(hasher: string, blocks: Uint8Array, hashes: Uint8Array): void;
  hashBlocksAsync(hasher: string, blocks: Uint8Array, hashes: Uint8Array, threads: number): Promise<void>;
  hashFileAsync(
    hasher: string,
    descriptor: number,
    offset: number,
    length: number,
    hashes: Uint8Array,
    threads: number,
    sink?: NativeSink,
  ): Promise<number>;
  readFileAsync(
    descriptor: number,
    offset: number,
    length: number,
    sink: NativeSink,
    threads: number,
  ): Promise<number>;
}

let loaded: DigestAddon | null | undefined;
const proven = new Set<string>();

/**
 * The hasher that VRAM_RESIDENCY_HASHER names, else the fastest that this processor can run; null for `node`, and where
 * there is no addon or the processor has none. It has hashed known blocks as node:crypto does.
 * Errors: INVALID_INPUT naming the variable; DEVICE_UNAVAILABLE for a processor that hashes wrongly.
 */
export function findNativeHasher(): NativeHasher | null {
  const named = env[VARIABLE];
  if (named === NODE) return null;
  loaded ??= loadDigestAddon();
  const names = loaded?.blockHasherNames() ?? [];
  const name = named ?? names[0];
  if (named !== undefined && !names.includes(named)) {
    const known = [...names, NODE].join(', ');
    throw invalidInput(
      VARIABLE,
      `must be one of those that run here (${known}), got ${JSON.stringify(named)}`,
    );
  }
  if (loaded === null || name === undefined) return null;
  const hasher = withAddon(loaded, name);
  if (!proven.has(name)) prove(hasher);
  proven.add(name);
  return hasher;
}

/** The hashers that this processor can run, the fastest first; none where there is no addon. */
export function nativeHasherNames(): readonly string[] {
  loaded ??= loadDigestAddon();
  return loaded?.blockHasherNames() ?? [];
}

function withAddon(addon: DigestAddon, name: string): NativeHasher {
  return {
    name,
    hash: (blocks, hashes) => addon.hashBlocks(name, blocks, hashes),
    hashAsync: (blocks, hashes, threads = 1) => addon.hashBlocksAsync(name, blocks, hashes, threads),
    hashFile: (descriptor, offset, length, hashes, sink) =>
      addon.hashFileAsync(name, descriptor, offset, length, hashes, HASH_THREADS, sink),
    readFile: (descriptor, offset, length, sink) =>
      addon.readFileAsync(descriptor, offset, length, sink, HASH_THREADS),
  };
}

/** Null if there is no matching addon: node:crypto then hashes instead, more slowly. */
function loadDigestAddon(): DigestAddon | null {
  const addon = optionalAddon();
  return isDigestAddon(addon) ? addon : null;
}

function isDigestAddon(value: unknown): value is DigestAddon {
  return hasFunctions(value, [
    'blockHasherNames',
    'hashBlocks',
    'hashBlocksAsync',
    'hashFileAsync',
    'readFileAsync',
  ] satisfies (keyof DigestAddon)[]);
}

/** A wrong hash would be noticed later, but blamed on the file or the device. */
function prove(hasher: NativeHasher): void {
  const blocks = new Uint8Array(PROOF_BLOCKS * BLOCK_BYTES);
  for (let at = 0; at < blocks.length; at++) blocks[at] = Math.imul(at, 0x9e37_79b1) >>> 24;
  const hashes = new Uint8Array(PROOF_BLOCKS * HASH_BYTES);
  hasher.hash(blocks, hashes);
  for (let block = 0; block < PROOF_BLOCKS; block++) {
    const expected = hash(
      'sha256',
      blocks.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES),
      'buffer',
    );
    if (expected.equals(hashes.subarray(block * HASH_BYTES, (block + 1) * HASH_BYTES))) continue;
    throw new VramError(
      'DEVICE_UNAVAILABLE',
      `the processor's ${hasher.name} instructions give wrong SHA-256 hashes; ${VARIABLE}=${NODE} does without them`,
    );
  }
}
