import { Serial } from '../../base/index.js';
import { HASH_BYTES } from '../../digest/index.js';
import { GatheredRuns } from '../gathered-runs.js';
import type { FillProbe } from '../known-answers.js';
import type { TreePart } from '../region-checks.js';
import type { RunWatch } from '../root-progress.js';
import type { MemoryHandle } from './addon.js';
import { batchLimit, isSmallNode, NodeBatch, type NodeRequest } from './node-batch.js';
import { fillScratch, type TreeMachine, VECTOR_BYTES } from './tree-machine.js';
import { TreeRun } from './tree-run.js';

/** The device's scratch pool and the runs in it, one at a time. */
export class TreeEngine {
  readonly #machine: TreeMachine;
  readonly #checkPresent: () => void;
  readonly #turns = new Serial();
  readonly #smallNodes: GatheredRuns<NodeRequest, Uint8Array>;
  #readbackBytes = 0;

  /** `checkPresent` throws DEVICE_LOST if the device is lost. */
  constructor(machine: TreeMachine, checkPresent: () => void) {
    this.#machine = machine;
    this.#checkPresent = checkPresent;
    this.#smallNodes = new GatheredRuns(this.#turns, batchLimit(machine.layout), (requests) =>
      this.#nodesOf(requests),
    );
  }

  get scratchBytes(): number {
    return this.#machine.layout.byteLength;
  }

  /** Bytes read back by all runs so far. */
  get readbackBytes(): number {
    return this.#readbackBytes;
  }

  /**
   * Nodes of a part of the tree over resident blocks, 32 bytes each. Small requests that wait at the same time are
   * hashed together. Errors: DEVICE_UNAVAILABLE, DEVICE_LOST, ABORTED, and the addon's.
   */
  run(
    memory: MemoryHandle,
    part: TreePart,
    nodes: number,
    { signal, onHashed }: RunWatch,
  ): Promise<Uint8Array> {
    const request = { memory, part, signal, onHashed };
    if (isSmallNode(part, this.#machine.layout)) return this.#smallNodes.run(request);
    return this.#turns.run(() => this.#runAlone(request, nodes));
  }

  /** The last turn: no run follows. */
  end(work: () => Promise<void>): Promise<void> {
    return this.#turns.run(work);
  }

  /** For the known answers. */
  readonly probeFill: FillProbe = ({ vectors, ground, first, count, word }) =>
    this.#turns.run(async () => {
      const { addon, scratch } = this.#machine;
      await fillScratch(this.#machine, 0, vectors * VECTOR_BYTES, ground);
      await fillScratch(this.#machine, first * VECTOR_BYTES, count * VECTOR_BYTES, word);
      return await addon.read(scratch, 0, vectors * VECTOR_BYTES);
    });

  async #nodesOf(requests: readonly NodeRequest[]): Promise<readonly Uint8Array[]> {
    this.#checkPresent();
    const batch = new NodeBatch(this.#machine, requests);
    try {
      return await batch.execute();
    } finally {
      this.#readbackBytes += batch.readbackBytes;
    }
  }

  async #runAlone({ memory, part, ...watch }: NodeRequest, nodes: number): Promise<Uint8Array> {
    this.#checkPresent();
    const out = new Uint8Array(nodes * HASH_BYTES);
    const run = new TreeRun(this.#machine, part, out);
    try {
      await run.execute(memory, watch);
      return out;
    } finally {
      this.#readbackBytes += run.readbackBytes;
    }
  }
}
