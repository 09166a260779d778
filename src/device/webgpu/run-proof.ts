import { VramError } from '../../base/index.js';
import { BLOCK_BYTES, HASH_BYTES } from '../../digest/index.js';
import { VECTOR_BYTES } from './constants.js';

/**
 * Root (32 bytes), hashes counted (4), hash of the canary (32): the head of the state buffer, and all that is read back
 * for a root.
 */
export const PROOF_BYTES = 68;
const COUNT_OFFSET = 32;
const CANARY_HASH_OFFSET = 36;
const CANARY_OFFSET = 80;
export const STATE_BYTES = CANARY_OFFSET + BLOCK_BYTES;

/** The proof that one run must return (CI-010). Its values are random, and only the host has them. */
export class RunProof {
  /** The pattern that fills all of the run's output, so that results of an earlier run are not accepted. */
  readonly pattern = globalThis.crypto.getRandomValues(new Uint32Array(4));
  /** The start of the count, and the canary block. */
  readonly state = globalThis.crypto.getRandomValues(new Uint8Array(STATE_BYTES));
  /** Hashes requested, without the canary's. */
  hashes = 0;
  dispatches = 0;

  /** Slots without the mark that they begin with. Errors: DEVICE_UNAVAILABLE if it is not this run's. */
  behindMark(slots: Uint8Array): Uint8Array {
    const mark = new Uint8Array(this.pattern.buffer);
    const isMarked = slots.subarray(0, HASH_BYTES).every((byte, i) => byte === mark[i % VECTOR_BYTES]);
    if (!isMarked) throw didNotRun('its nodes are not those of this run');
    return slots.subarray(HASH_BYTES);
  }

  /** Errors: DEVICE_UNAVAILABLE unless every hash was counted, and the canary went through every dispatch. */
  async check(proof: Uint8Array): Promise<void> {
    const counted = (countIn(proof) - countIn(this.state)) >>> 0;
    if (counted !== this.hashes) {
      throw didNotRun(`${counted} of ${this.hashes} hashes were counted on the device`);
    }
    const canary = this.state.slice(CANARY_OFFSET, CANARY_OFFSET + BLOCK_BYTES);
    for (let i = 0; i < this.dispatches; i++) {
      canary.set(new Uint8Array(await globalThis.crypto.subtle.digest('SHA-256', canary)));
    }
    const got = proof.subarray(CANARY_HASH_OFFSET, CANARY_HASH_OFFSET + HASH_BYTES);
    if (!got.every((byte, i) => byte === canary[i])) throw didNotRun('its canary block was not hashed');
  }
}

function countIn(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(COUNT_OFFSET, true);
}

function didNotRun(what: string): VramError {
  return new VramError(
    'DEVICE_UNAVAILABLE',
    `the device did not carry out a run of the tree: ${what}; nothing was verified, try again`,
  );
}
