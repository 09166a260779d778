import { BLOCK_BYTES, HASH_BYTES, HASHES_PER_BLOCK } from '../../digest/index.js';
import type { TreePart } from '../region-checks.js';
import type { RunWatch } from '../root-progress.js';
import type { MemoryHandle } from './addon.js';
import { RunProof } from './run-proof.js';
import { LEAF_COUNTER_OFFSET, type LevelBuffer, PROOF_BYTES, type ScratchLayout } from './scratch.js';
import { begin, dispatch, fillScratch, type TreeMachine } from './tree-machine.js';

/** Limit of one batch: with more nodes a lease would wait longer for the device. */
const MAX_NODES = 128;
/** Bytes of the node of one tree's leaves. */
const PLACE_BYTES = HASHES_PER_BLOCK * HASH_BYTES;
/** Counters and the canary's last hash, which are adjacent. */
const PROOF_TAIL_BYTES = PROOF_BYTES - LEAF_COUNTER_OFFSET;

/** One node of at most 128 blocks, to be hashed in place. */
export interface NodeRequest extends RunWatch {
  readonly memory: MemoryHandle;
  readonly part: TreePart;
}

/** Whether a part of a tree is one node that a batch hashes: a leaf, or a node above leaves that one dispatch hashes. */
export function isSmallNode({ level, blocks }: TreePart, { windowBlocks }: ScratchLayout): boolean {
  return level === 0 ? blocks === 1 : level === 1 && blocks <= Math.min(HASHES_PER_BLOCK, windowBlocks);
}

/** How many small nodes fit into scratch at once. */
export function batchLimit({ levels }: ScratchLayout): number {
  const leaves = levels[0]?.capacity ?? 0;
  // The run's proof follows the nodes: the size of two hashes.
  const nodes = (levels[1]?.capacity ?? 0) - 1;
  return Math.min(MAX_NODES, Math.floor(leaves / HASHES_PER_BLOCK), nodes);
}

/**
 * Small nodes of many regions in one run, which pays the fixed cost of a run once: its preparation and the wait for its
 * result. Each node has room for 128 leaf hashes, zeros after the last, and one dispatch hashes all of them. Only the
 * final read is awaited: the addon carries out its calls in order.
 */
export class NodeBatch {
  readonly #machine: TreeMachine;
  readonly #requests: readonly NodeRequest[];
  /** Nodes directly above leaves first: one dispatch computes them. */
  readonly #placed: readonly NodeRequest[];
  readonly #trees: number;
  readonly #proof: RunProof;
  readonly #started: Promise<void>[] = [];
  #readbackBytes = 0;

  /** At most batchLimit(). */
  constructor(machine: TreeMachine, requests: readonly NodeRequest[]) {
    const trees = requests.filter(({ part }) => part.level === 1);
    this.#machine = machine;
    this.#requests = requests;
    this.#placed = [...trees, ...requests.filter(({ part }) => part.level === 0)];
    this.#trees = trees.length;
    this.#proof = new RunProof(machine);
  }

  /** Bytes read back so far. */
  get readbackBytes(): number {
    return this.#readbackBytes;
  }

  /** 32 bytes each, in the order of the requests. Errors: as for one run; then no node of the batch counts. */
  async execute(): Promise<readonly Uint8Array[]> {
    const { addon, device } = this.#machine;
    try {
      this.#start();
      const bytes = await this.#bringBack();
      await Promise.all(this.#started);
      return await this.#proven(bytes);
    } catch (error) {
      // All work must have ended before the next run fills scratch. The first failure is reported.
      await Promise.allSettled([...this.#started, addon.synchronize(device)]);
      throw error;
    }
  }

  #start(): void {
    const { addon, scratch } = this.#machine;
    const [leaves, nodes] = [this.#level(0).offset, this.#level(1).offset];
    const trees = this.#trees;
    const total = this.#placed.length;
    this.#track(begin(this.#machine, this.#proof));
    if (trees > 0) this.#track(fillScratch(this.#machine, leaves, trees * PLACE_BYTES, 0));
    this.#track(fillScratch(this.#machine, nodes, total * HASH_BYTES, this.#proof.word));
    for (const [index, request] of this.#placed.slice(0, trees).entries()) {
      const { blocks } = request.part;
      const place = leaves + index * PLACE_BYTES;
      this.#hashLeaves(request, place);
      // The canary's hash was written where the tree needs zeros.
      if (blocks < HASHES_PER_BLOCK) {
        this.#track(addon.fill(scratch, place + blocks * HASH_BYTES, HASH_BYTES, 0));
      }
    }
    if (trees > 0) this.#hashPlaces(leaves, nodes);
    for (const [index, request] of this.#placed.slice(trees).entries()) {
      this.#hashLeaves(request, nodes + (trees + index) * HASH_BYTES);
    }
    const proofOffset = nodes + total * HASH_BYTES;
    this.#track(addon.copy(scratch, proofOffset, scratch, LEAF_COUNTER_OFFSET, PROOF_TAIL_BYTES));
  }

  #hashLeaves({ memory, part: { firstBlock, blocks } }: NodeRequest, outOffset: number): void {
    const [offset, length] = [firstBlock * BLOCK_BYTES, blocks * BLOCK_BYTES];
    const work = { memory, offset, length, inputs: blocks, outputs: blocks, outOffset };
    this.#track(dispatch(this.#machine, this.#proof, { kernel: 'vr_leaves', ...work }));
  }

  #hashPlaces(offset: number, outOffset: number): void {
    const { scratch: memory } = this.#machine;
    const outputs = this.#trees;
    const [length, inputs] = [outputs * PLACE_BYTES, outputs * HASHES_PER_BLOCK];
    const work = { memory, offset, length, inputs, outputs, outOffset };
    this.#track(dispatch(this.#machine, this.#proof, { kernel: 'vr_nodes', ...work }));
  }

  #track(started: Promise<void>): void {
    this.#started.push(started);
    // Awaited at the end; until then this marks a rejection as handled.
    started.catch(() => undefined);
  }

  /** The nodes, followed by the run's proof, in one copy. */
  async #bringBack(): Promise<Uint8Array> {
    const { addon, scratch } = this.#machine;
    const length = this.#placed.length * HASH_BYTES + PROOF_TAIL_BYTES;
    const bytes = await addon.read(scratch, this.#level(1).offset, length);
    this.#readbackBytes += length;
    return bytes;
  }

  async #proven(bytes: Uint8Array): Promise<readonly Uint8Array[]> {
    const length = this.#placed.length * HASH_BYTES;
    const proof = new Uint8Array(PROOF_BYTES);
    proof.set(bytes.subarray(length), LEAF_COUNTER_OFFSET);
    await this.#proof.check(proof);
    const nodes = bytes.subarray(0, length);
    this.#proof.checkWritten(nodes);
    const offsets = new Map(this.#placed.map((request, index) => [request, index * HASH_BYTES]));
    return this.#requests.map((request) => {
      const at = offsets.get(request) ?? 0;
      return nodes.slice(at, at + HASH_BYTES);
    });
  }

  #level(level: number): LevelBuffer {
    const buffer = this.#machine.layout.levels[level];
    if (buffer === undefined) throw new RangeError(`scratch has no level ${level}`);
    return buffer;
  }
}
