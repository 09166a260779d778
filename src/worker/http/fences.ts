import { ServiceError } from '../common/index.js';

const FORM = /^([A-Za-z0-9_-]{1,64}:[A-Za-z0-9_-]{1,64}):(\d{1,15})$/;
const MOST_PLACEMENTS = 10_000;

/** Refuses requests of a superseded scheduler: `X-Fence: storeId:placementId:epoch`. */
export class Fences {
  readonly #epochs = new Map<string, number>();

  /** Errors: STALE_EPOCH for an epoch below one that was seen, INVALID_INPUT. */
  check(fence: string): void {
    const [, placement, digits] = FORM.exec(fence) ?? [];
    if (placement === undefined) {
      throw new ServiceError('INVALID_INPUT', '"X-Fence" must be storeId:placementId:epoch');
    }
    const epoch = Number(digits);
    const seen = this.#epochs.get(placement) ?? 0;
    if (epoch < seen) throw new ServiceError('STALE_EPOCH', `epoch ${epoch} is over: ${seen} was seen`);
    this.#epochs.delete(placement);
    this.#epochs.set(placement, epoch);
    if (this.#epochs.size <= MOST_PLACEMENTS) return;
    // The least recently seen one.
    const [oldest] = this.#epochs.keys();
    if (oldest !== undefined) this.#epochs.delete(oldest);
  }
}
