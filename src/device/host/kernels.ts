import { BLOCK_BYTES, type DigestEngine, HASH_BYTES } from '../../digest/index.js';

/** The part of a digest engine that a host device needs. */
export type BlockHasher = Pick<DigestEngine, 'leaves' | 'nodes' | 'sha256' | 'hashResident'>;

/**
 * The counterpart of the GPU's shaders: hashes of 4096-byte blocks, written to `output`, 32 bytes each. Both resolve to
 * the number of hashes they wrote; a kernel that did not run has written, and counted, nothing.
 */
export interface HostKernels {
  /** `input` is a whole number of blocks. */
  leaves(input: Uint8Array, output: Uint8Array): Promise<number>;
  /** `input` is packed hashes of the level below; a last partial block counts as zero-padded. */
  nodes(input: Uint8Array, output: Uint8Array): Promise<number>;
}

/** Kernels that compute with a digest engine. */
export function engineKernels(engine: BlockHasher): HostKernels {
  return {
    leaves: async (input, output) => {
      if (engine.hashResident === undefined) return place(await engine.leaves(input), output);
      await engine.hashResident(input, output);
      return input.length / BLOCK_BYTES;
    },
    nodes: async (input, output) => place(await engine.nodes(input), output),
  };
}

function place(hashes: Uint8Array, output: Uint8Array): number {
  output.set(hashes);
  return hashes.length / HASH_BYTES;
}
