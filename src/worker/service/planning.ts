import type { CommitRequest, ModelOrigin, PlanRequest, WorkerStatus } from '../../api-schema/index.js';
import { checkInteger, invalidInput, VramError } from '../../base/index.js';
import type { VramManager } from '../../manager/index.js';
import type { ServiceError } from '../common/index.js';
import {
  type ModelTable,
  modelAtUrl,
  modelBelow,
  type Reservations,
  roomFor,
  type SourceModel,
} from '../models/index.js';

export interface PlanningOptions {
  readonly manager: VramManager;
  readonly table: ModelTable;
  readonly reservations: Reservations;
  /** Real paths of the folders that models may be loaded from. */
  readonly roots: readonly string[];
  /** `name` or `name:port` of servers that models may be loaded from. */
  readonly urlHosts: readonly string[];
  readonly stallMs: number;
}

/** Resolves the sources of models and checks whether they fit. Changes nothing. */
export class Planning {
  readonly #options: PlanningOptions;

  constructor(options: PlanningOptions) {
    this.#options = options;
  }

  /** The bytes that a plan needs. Errors: INVALID_INPUT, and those of sourceOf(). */
  async shardsOf(
    { model, byteLength }: PlanRequest,
    signal: AbortSignal | undefined,
  ): Promise<readonly { readonly byteLength: number }[]> {
    if ((model === undefined) === (byteLength === undefined)) {
      throw invalidInput('model', 'or "byteLength" must be given, and not both');
    }
    if (model !== undefined) return (await this.sourceOf(model, undefined, signal)).shards;
    return [{ byteLength: checkInteger('byteLength', byteLength, 1) }];
  }

  /** Errors: INVALID_INPUT for a source that may not be loaded, SOURCE_MISMATCH, ABORTED. */
  async sourceOf(
    origin: ModelOrigin,
    format: CommitRequest['format'],
    signal: AbortSignal | undefined,
  ): Promise<SourceModel> {
    return 'url' in origin
      ? await modelAtUrl(this.#options.urlHosts, origin.url, { signal, stallMs: this.#options.stallMs })
      : await modelBelow(this.#options.roots, origin.path, format);
  }

  /** Why a plan for so many bytes is not feasible; null where it is. */
  async whyNot(bytes: number): Promise<ServiceError | VramError | null> {
    // Read before the device's figures: a load that ends in between must be counted at least once.
    const generations = this.#options.table
      .generations()
      .map(({ state, plannedBytes: planned }) => ({ state, plannedBytes: planned }));
    const left = roomFor(await this.#options.manager.capacity(), generations, this.#options.reservations);
    if (left === null) {
      return new VramError(
        'INVALID_INPUT',
        'this device does not report its memory: start the worker with a budget',
      );
    }
    if (bytes <= left) return null;
    return new VramError(
      'INSUFFICIENT_VRAM',
      `${bytes} bytes are requested, ${left} are left after other plans and loads`,
      {
        neededBytes: bytes,
        availableBytes: left,
      },
    );
  }

  /** For the status. */
  async capacity(): Promise<WorkerStatus['capacity']> {
    const reservedBytes = this.#options.reservations.bytes;
    try {
      const { totalBytes, usedBytes, scratchBytes, availableBytes } = await this.#options.manager.capacity();
      return { totalBytes, usedBytes, scratchBytes, availableBytes, reservedBytes };
    } catch {
      // The device is lost or the manager closed; the state shows which.
      return { totalBytes: null, usedBytes: 0, scratchBytes: 0, availableBytes: null, reservedBytes };
    }
  }
}
