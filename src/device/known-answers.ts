import { toHex, VramError } from '../base/index.js';
import { type AllocateOptions, type Device, deviceId, type Region } from './types.js';

interface KnownAnswer {
  readonly byteLength: number;
  readonly seed: number;
  /** Root of the fs-verity tree (4096-byte blocks, SHA-256, no salt), hexadecimal. */
  readonly root: string;
}

/**
 * One byte, a whole block, the first two-level tree, a padded last block among several, and the first three-level tree.
 * The roots were computed outside this project and give the digests that `fsverity digest` prints for the same bytes.
 */
const KNOWN_ANSWERS: readonly KnownAnswer[] = [
  {
    byteLength: 1,
    seed: 1001,
    root: 'e2b099cdbd0ebd4392437576df29c65678b0f30c131ad3a7c96624a6bcda3e7a',
  },
  {
    byteLength: 4096,
    seed: 1005,
    root: '6811ab4d06b40f3281c8fe9a9c84779c93c8d25485ac298d9929946e9282f989',
  },
  {
    byteLength: 4097,
    seed: 1006,
    root: '8c648198f844c8e2e4dc97829a483f8d075ab65d94f69ba4339b887679ed9b37',
  },
  {
    byteLength: 12289,
    seed: 1008,
    root: 'dbc25d985553c93ef0f4c8fd0089072021c913c77e5ea3b1f2b94aefebbbb141',
  },
  {
    byteLength: 524289,
    seed: 1011,
    root: 'bcce446086b4808241abab42c8398c9f7e320af8423bff32fd21e0961a95a4f8',
  },
];

/** Starts of the buffers for the longest known answer: some of one block, some of several, and one of nearly a group. */
const CUTS: readonly number[] = [0, 1, 2, 3, 6, 7, 9, 128].map((block) => block * 4096);

/** The input of which one bit is changed: its root must then be another. */
const CHANGED: { readonly answer: KnownAnswer; readonly byte: number; readonly mask: number } = {
  answer: {
    byteLength: 12289,
    seed: 1008,
    root: 'dbc25d985553c93ef0f4c8fd0089072021c913c77e5ea3b1f2b94aefebbbb141',
  },
  byte: 6161,
  mask: 0x10,
};

/** A fill: vectors are 16 bytes, words 32 bits. */
export interface KnownFill {
  /** Filled with `ground` first. */
  readonly vectors: number;
  readonly ground: number;
  /** Then `count` of them, from `first` on, are filled with `word`. */
  readonly first: number;
  readonly count: number;
  readonly word: number;
}

/** Runs a device's fill kernel over the start of its scratch memory; resolves to the `vectors`, little-endian. */
export type FillProbe = (fill: KnownFill) => Promise<Uint8Array>;

/** Neither number of vectors is made of whole workgroups or thread blocks. */
const FILL: KnownFill = { vectors: 300, ground: 0x5eed5eed, first: 37, count: 205, word: 0xa11ca7ed };
const VECTOR_BYTES = 16;

/**
 * Bytes of xorshift32 (shifts 13, 17, 5; Marsaglia 2003) from a seed other than zero: every state is written as a
 * little-endian uint32, the last one truncated.
 */
export function xorshiftBytes(seed: number, byteLength: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(byteLength / 4));
  let state = seed >>> 0;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  // Typed arrays have the platform's byte order; every platform with WebGPU or CUDA is little-endian.
  return new Uint8Array(words.buffer, 0, byteLength);
}

/**
 * Proves on a freshly opened device that its kernels compute fs-verity roots and depend on their input: one changed bit
 * must change the root (CI-011). A device that wipes and marks memory with a kernel passes `fill`, which must fill
 * exactly the requested range. Allocations are released on every path.
 *
 * Errors: DEVICE_UNAVAILABLE, naming the answer that was wrong or the step that failed.
 */
export async function proveKnownAnswers(device: Device, fill: FillProbe | null): Promise<void> {
  const id = deviceId(device.info);
  if (fill !== null && !isExact(await filled(id, fill))) {
    throw new VramError(
      'DEVICE_UNAVAILABLE',
      `${id} failed its known-answer test: a fill did not fill exactly the ${FILL.count} requested vectors; it ` +
        `must not be used`,
    );
  }
  for (const answer of KNOWN_ANSWERS) {
    const got = await rootOf(device, id, xorshiftBytes(answer.seed, answer.byteLength));
    if (got !== answer.root) {
      throw new VramError(
        'DEVICE_UNAVAILABLE',
        `${id} failed its known-answer test: the root of ${answer.byteLength} bytes is wrong; it must not be used`,
      );
    }
  }
  const changed = xorshiftBytes(CHANGED.answer.seed, CHANGED.answer.byteLength);
  changed[CHANGED.byte] = (changed[CHANGED.byte] ?? 0) ^ CHANGED.mask;
  if ((await rootOf(device, id, changed)) === CHANGED.answer.root) {
    throw new VramError(
      'DEVICE_UNAVAILABLE',
      `${id} failed its known-answer test: one changed bit in ${changed.length} bytes did not change the root; it ` +
        `must not be used`,
    );
  }
}

/** The allocator of a proof: the device, or its internal allocator before it has passed. */
type Allocator = Pick<Device, 'info' | 'allocate'>;

/**
 * Proves the kernels that hash several buffers at once, before a device gives away a region with cuts (CI-011).
 * Errors: DEVICE_UNAVAILABLE.
 */
export async function proveCutRegion(device: Allocator): Promise<void> {
  const id = deviceId(device.info);
  const answer = KNOWN_ANSWERS[KNOWN_ANSWERS.length - 1];
  if (answer === undefined) throw new TypeError('unreachable: there are known answers');
  const got = await rootOf(device, id, xorshiftBytes(answer.seed, answer.byteLength), { cuts: CUTS });
  if (got === answer.root) return;
  throw new VramError(
    'DEVICE_UNAVAILABLE',
    `${id} failed its known-answer test: the root of ${answer.byteLength} bytes in ${CUTS.length} buffers is wrong; ` +
      `tensors must not be laid out on it`,
  );
}

async function rootOf(
  device: Allocator,
  id: string,
  bytes: Uint8Array,
  options: AllocateOptions = {},
): Promise<string> {
  let region: Region | null = null;
  let root: string;
  try {
    region = await device.allocate(bytes.length, options);
    await region.write(0, bytes);
    await region.freeze();
    const tree = await region.root();
    root = toHex(tree.root);
  } catch (error) {
    // The first failure is reported; a second one during release adds nothing to it.
    await region?.release().catch(() => undefined);
    throw unavailable(id, `${bytes.length} bytes`, error);
  }
  try {
    await region.release();
  } catch (error) {
    throw unavailable(id, `${bytes.length} bytes`, error);
  }
  return root;
}

async function filled(id: string, fill: FillProbe): Promise<Uint8Array> {
  try {
    return await fill(FILL);
  } catch (error) {
    throw unavailable(id, 'a fill', error);
  }
}

function isExact(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [begin, end] = [FILL.first * VECTOR_BYTES, (FILL.first + FILL.count) * VECTOR_BYTES];
  for (let at = 0; at < FILL.vectors * VECTOR_BYTES; at += 4) {
    const expected = at >= begin && at < end ? FILL.word : FILL.ground;
    if (view.getUint32(at, true) !== expected) return false;
  }
  return true;
}

function unavailable(id: string, step: string, cause: unknown): VramError {
  const reason = cause instanceof Error ? cause.message : 'an unknown error';
  return new VramError(
    'DEVICE_UNAVAILABLE',
    `${id} could not run its known-answer test with ${step}: ${reason}`,
    {
      cause,
    },
  );
}
