import { VramError } from '../../base/index.js';

/** Device bytes of one region, from their reservation until they are freed. */
export interface Reservation {
  readonly bytes: number;
  /** Safe to call twice. */
  release(): void;
  /** Unmapped here but still mapped by other processes: counted as orphaned until it is freed. */
  orphan(): void;
}

/**
 * The manager's limit of device memory and what it has taken. Bytes of device memory, scratch included. Checking and
 * taking are one step: nothing else can run between them.
 */
export class Ledger {
  readonly #budgetBytes: number | null;
  readonly #scratchBytes: number;
  #usedBytes = 0;
  #orphanedBytes = 0;

  /** Errors: INSUFFICIENT_VRAM if the budget cannot even hold the verification scratch. */
  constructor(budgetBytes: number | null, scratchBytes: number) {
    this.#budgetBytes = budgetBytes;
    this.#scratchBytes = scratchBytes;
    if (budgetBytes !== null && budgetBytes < scratchBytes) {
      throw insufficient(scratchBytes, budgetBytes, 'for verification scratch; raise budgetBytes');
    }
  }

  /** Bytes of all regions, sealed or being filled. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Of these, bytes that only other processes still map. */
  get orphanedBytes(): number {
    return this.#orphanedBytes;
  }

  get budgetBytes(): number | null {
    return this.#budgetBytes;
  }

  get scratchBytes(): number {
    return this.#scratchBytes;
  }

  /** What the budget leaves besides all regions and scratch; null without a budget. */
  get spareBytes(): number | null {
    return this.#budgetBytes === null ? null : this.#budgetBytes - this.#scratchBytes - this.#usedBytes;
  }

  /** What a new region may take; `freeBytes` is the device's figure. null where there is neither that nor a budget. */
  availableBytes(freeBytes: number | null): number | null {
    const left = this.spareBytes;
    if (left === null) return freeBytes;
    return freeBytes === null ? left : Math.min(left, freeBytes);
  }

  /** Errors: INSUFFICIENT_VRAM with the needed and the available bytes. */
  reserve(bytes: number, freeBytes: number | null): Reservation {
    const available = this.availableBytes(freeBytes);
    if (available !== null && bytes > available) {
      throw insufficient(
        bytes,
        available,
        '; release other shards, raise budgetBytes or choose another device',
      );
    }
    this.#usedBytes += bytes;
    let state: 'held' | 'orphaned' | 'given back' = 'held';
    return {
      bytes,
      release: () => {
        if (state === 'given back') return;
        if (state === 'orphaned') this.#orphanedBytes -= bytes;
        this.#usedBytes -= bytes;
        state = 'given back';
      },
      orphan: () => {
        if (state !== 'held') return;
        this.#orphanedBytes += bytes;
        state = 'orphaned';
      },
    };
  }
}

function insufficient(neededBytes: number, availableBytes: number, help: string): VramError {
  return new VramError(
    'INSUFFICIENT_VRAM',
    `${neededBytes} bytes of device memory are needed, ${availableBytes} are ` +
      `available${help.startsWith(';') ? '' : ' '}${help}`,
    { neededBytes, availableBytes },
  );
}
