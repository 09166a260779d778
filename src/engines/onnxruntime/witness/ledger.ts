/** A tensor in sealed memory, in the witness's records. */
export interface WatchedTensor {
  readonly name: string;
  /** Bytes of the tensor; its buffer is padded. */
  readonly byteLength: number;
}

/** How a command uses sealed memory. */
export type Access =
  /** As a storage buffer that the shader cannot write. */
  | 'readOnly'
  /** Through a layout that lets the shader write. */
  | 'readWrite'
  /** Through a layout whose creation the witness did not observe, or one with dynamic offsets. */
  | 'unknown'
  /** Copied, cleared, or anything else that is not a binding. */
  | 'copy';

/** One use of a sealed tensor by one command. */
export interface SealedUse {
  readonly tensor: WatchedTensor;
  readonly access: Access;
  /** Bytes bound, from the tensor's first; both 0 if no byte is known to be read. */
  readonly start: number;
  readonly end: number;
}

/** What the engine did with sealed memory in one run, counted in the command buffers that it submitted. */
export interface WitnessCounts {
  /** Bindings of sealed tensors, counted for each dispatch. */
  readonly binds: number;
  readonly readOnly: number;
  readonly readWrite: number;
  readonly unknown: number;
  /** Copies of sealed memory, and any other use that is not a binding. */
  readonly copies: number;
  /** Sealed tensors that were bound read-only from their first byte to their last. */
  readonly tensors: number;
}

/** Counts the uses of sealed tensors. One run has one ledger. */
export class Ledger {
  readonly #counts: Record<Access, number> = { readOnly: 0, readWrite: 0, unknown: 0, copy: 0 };
  readonly #bound = new Map<WatchedTensor, [start: number, end: number][]>();
  /** The first use that is not a read-only binding. */
  #offence: SealedUse | null = null;
  #refusedSubmits = 0;

  add(uses: readonly SealedUse[]): void {
    for (const use of uses) {
      this.#counts[use.access] += 1;
      if (use.access === 'readOnly') this.#bind(use);
      else this.#offence ??= use;
    }
  }

  /** Commands that the device refused, none of which ran. */
  refuseSubmit(): void {
    this.#refusedSubmits += 1;
  }

  get offence(): SealedUse | null {
    return this.#offence;
  }

  get refusedSubmits(): number {
    return this.#refusedSubmits;
  }

  /** Whether every byte of the tensor was bound read-only. */
  isBound(tensor: WatchedTensor): boolean {
    const ranges = this.#bound.get(tensor);
    if (ranges === undefined) return false;
    let covered = 0;
    for (const [start, end] of ranges.sort(([a], [b]) => a - b)) {
      if (start > covered) return false;
      covered = Math.max(covered, end);
    }
    return covered >= tensor.byteLength;
  }

  counts(): WitnessCounts {
    const { readOnly, readWrite, unknown, copy } = this.#counts;
    return {
      binds: readOnly + readWrite + unknown,
      readOnly,
      readWrite,
      unknown,
      copies: copy,
      tensors: [...this.#bound.keys()].filter((tensor) => this.isBound(tensor)).length,
    };
  }

  #bind({ tensor, start, end }: SealedUse): void {
    const ranges = this.#bound.get(tensor) ?? [];
    this.#bound.set(tensor, ranges);
    // Fast path: most bindings cover the whole tensor.
    if (!ranges.some(([from, to]) => from <= start && end <= to)) ranges.push([start, end]);
  }
}
