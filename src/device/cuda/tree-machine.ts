import { BLOCK_BYTES, HASH_BYTES } from '../../digest/index.js';
import type { Addon, DeviceHandle, KernelArgument, MemoryHandle, ModuleHandle } from './addon.js';
import type { ProofTools, RunProof } from './run-proof.js';
import {
  CANARY_OFFSET,
  COUNTER_BYTES,
  COUNTERS_BYTES,
  LEAF_COUNTER_OFFSET,
  NODE_COUNTER_OFFSET,
  type ScratchLayout,
} from './scratch.js';

/** Threads of a block; the kernels allow up to 256. */
const THREADS = 128;
/** Bytes that one thread of vr_fill fills. */
export const VECTOR_BYTES = 16;

/** The kernels and memory of tree runs. */
export interface TreeMachine extends ProofTools {
  readonly addon: Addon;
  readonly device: DeviceHandle;
  readonly kernels: ModuleHandle;
  readonly scratch: MemoryHandle;
  readonly layout: ScratchLayout;
}

/** One dispatch of a tree kernel: `outputs` hashes from `outOffset` of scratch on, the canary's after them. */
export interface Dispatch {
  readonly kernel: 'vr_leaves' | 'vr_nodes';
  readonly memory: MemoryHandle;
  readonly offset: number;
  readonly length: number;
  /** Blocks of vr_leaves, hashes of vr_nodes. */
  readonly inputs: number;
  readonly outputs: number;
  readonly outOffset: number;
}

// The addon carries out its calls in order. Each function here makes all its calls synchronously, so every later call
// runs after them, awaited or not.

/** Brings the run's canary to the device and sets its counters to zero. Errors: the addon's. */
export async function begin({ addon, scratch }: TreeMachine, proof: RunProof): Promise<void> {
  await Promise.all([
    addon.write(scratch, CANARY_OFFSET, proof.canary),
    addon.drain(scratch),
    addon.fill(scratch, LEAF_COUNTER_OFFSET, COUNTERS_BYTES, 0),
  ]);
}

/** Starts a dispatch of a run, and adds it to the run's proof. Errors: the addon's. */
export async function dispatch(machine: TreeMachine, proof: RunProof, work: Dispatch): Promise<void> {
  const { addon, scratch } = machine;
  const { kernel, inputs, outputs, outOffset, ...input } = work;
  const isLeaves = kernel === 'vr_leaves';
  proof.dispatches++;
  if (isLeaves) proof.leaves += outputs;
  else proof.nodes += outputs;
  await Promise.all([
    launch(machine, kernel, outputs + 1, [
      input,
      { u64: inputs },
      { memory: scratch, offset: CANARY_OFFSET, length: BLOCK_BYTES },
      { memory: scratch, offset: outOffset, length: (outputs + 1) * HASH_BYTES },
      {
        memory: scratch,
        offset: isLeaves ? LEAF_COUNTER_OFFSET : NODE_COUNTER_OFFSET,
        length: COUNTER_BYTES,
      },
    ]),
    addon.copy(scratch, CANARY_OFFSET, scratch, outOffset + outputs * HASH_BYTES, HASH_BYTES),
  ]);
}

/** Starts a fill of `length` bytes, a multiple of 16, with a 32-bit word. Errors: the addon's. */
export async function fillScratch(
  machine: TreeMachine,
  offset: number,
  length: number,
  word: number,
): Promise<void> {
  const target = { memory: machine.scratch, offset, length };
  await launch(machine, 'vr_fill', length / VECTOR_BYTES, [target, { u64: length }, { u32: word }]);
}

async function launch(
  { addon, kernels }: TreeMachine,
  kernel: string,
  threads: number,
  args: readonly KernelArgument[],
): Promise<void> {
  await addon.launch(kernels, kernel, [Math.ceil(threads / THREADS), 1, 1], [THREADS, 1, 1], args);
}
