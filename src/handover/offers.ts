import { invalidInput } from '../base/index.js';
import { SealedShard } from '../seal/index.js';

/** Bounded so that all names fit into one line. */
const MODEL_NAME = /^[A-Za-z0-9][A-Za-z0-9._:@+/-]{0,127}$/;
const MAX_MODELS = 128;
const MAX_SHARDS = 1024;

/** One generation of a model. */
export interface Offer {
  readonly shards: readonly SealedShard[];
}

/** The models that clients can request, by name. */
export class Offers {
  readonly #models = new Map<string, Offer>();

  /** Replaces the previous generation of the name, whose leases continue. Errors: INVALID_INPUT. */
  set(name: string, shards: SealedShard | readonly SealedShard[]): void {
    if (typeof name !== 'string' || !MODEL_NAME.test(name)) {
      throw invalidInput('name', 'must be 1 to 128 of A-Z, a-z, 0-9, ".", "_", ":", "@", "+", "/" and "-"');
    }
    const all = Array.isArray(shards) ? [...shards] : [shards];
    if (all.length === 0 || all.length > MAX_SHARDS) {
      throw invalidInput('shards', `must be 1 to ${MAX_SHARDS} sealed shards`);
    }
    for (const [index, shard] of all.entries()) {
      if (!(shard instanceof SealedShard))
        throw invalidInput(`shards[${index}]`, 'must be what seal() returned');
      if (shard.shared !== true) {
        throw invalidInput(
          `shards[${index}]`,
          'was not sealed with share: other processes cannot map its memory',
        );
      }
    }
    if (!this.#models.has(name) && this.#models.size >= MAX_MODELS) {
      throw invalidInput('name', `would exceed ${MAX_MODELS} models: withdraw another first`);
    }
    this.#models.set(name, { shards: all });
  }

  /** Removes an offer; its leases continue. False for an unknown name. */
  delete(name: string): boolean {
    return this.#models.delete(name);
  }

  get(name: string): Offer | null {
    return this.#models.get(name) ?? null;
  }

  names(): readonly string[] {
    return [...this.#models.keys()];
  }

  /** Whether the name now refers to a newer generation. */
  isReplaced(name: string, offer: Offer): boolean {
    const now = this.#models.get(name);
    return now !== undefined && now !== offer;
  }
}
