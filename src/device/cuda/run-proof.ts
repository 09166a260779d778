import { VramError } from '../../base/index.js';
import { BLOCK_BYTES, HASH_BYTES } from '../../digest/index.js';
import { CANARY_OFFSET, LEAF_COUNTER_OFFSET, NODE_COUNTER_OFFSET, PROOF_BYTES } from './scratch.js';

/** The host's own randomness and hash. */
export interface ProofTools {
  sha256(bytes: Uint8Array): Promise<Uint8Array>;
  randomBytes(length: number): Uint8Array;
}

/** The proof that one run must return (CI-010). Its values are random, and only the host has them. */
export class RunProof {
  /**
   * The block that every dispatch also hashes. Its hash is written back into it, so that the last hash depends on every
   * dispatch.
   */
  readonly canary: Uint8Array;
  /** The 32-bit word that fills all of the run's output, so that results of an earlier run are not accepted. */
  readonly word: number;
  /** Requested of the device. */
  dispatches = 0;
  leaves = 0;
  nodes = 0;
  readonly #sha256: ProofTools['sha256'];
  readonly #pattern: Uint8Array;

  constructor(tools: ProofTools) {
    this.#sha256 = (bytes) => tools.sha256(bytes);
    this.canary = tools.randomBytes(BLOCK_BYTES);
    this.#pattern = tools.randomBytes(4);
    this.word = new DataView(this.#pattern.buffer, this.#pattern.byteOffset).getUint32(0, true);
  }

  /** `proof`: the first PROOF_BYTES of scratch. Errors: DEVICE_UNAVAILABLE unless everything requested was hashed. */
  async check(proof: Uint8Array): Promise<void> {
    const view = new DataView(proof.buffer, proof.byteOffset);
    const leaves = view.getBigUint64(LEAF_COUNTER_OFFSET, true);
    if (leaves !== BigInt(this.leaves)) throw didNotRun(`${leaves} of ${this.leaves} blocks were hashed`);
    const nodes = view.getBigUint64(NODE_COUNTER_OFFSET, true);
    if (nodes !== BigInt(this.nodes)) throw didNotRun(`${nodes} of ${this.nodes} nodes were hashed`);
    const block = Uint8Array.from(this.canary);
    for (let i = 0; i < this.dispatches; i++) block.set(await this.#sha256(block));
    const canary = proof.subarray(CANARY_OFFSET, PROOF_BYTES);
    if (!canary.every((byte, i) => byte === block[i])) throw didNotRun('the canary block was not hashed');
  }

  /** Errors: DEVICE_UNAVAILABLE if one of the hashes is the pattern, and so was never written. */
  checkWritten(hashes: Uint8Array): void {
    for (let at = 0; at < hashes.length; at += HASH_BYTES) {
      const hash = hashes.subarray(at, at + HASH_BYTES);
      if (hash.every((byte, i) => byte === this.#pattern[i % this.#pattern.length])) throw notWritten();
    }
  }
}

export function notWritten(): VramError {
  return didNotRun('its result was not written');
}

function didNotRun(what: string): VramError {
  return new VramError(
    'DEVICE_UNAVAILABLE',
    `the CUDA device did not carry out the run: ${what}; nothing was verified`,
  );
}
