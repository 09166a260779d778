import type { Attested, Drilled, DrillRequest, ModelOutcome, ShardOutcome } from '../../api-schema/index.js';
import { invalidInput, VramError } from '../../base/index.js';
import type { VramManager } from '../../manager/index.js';
import { failureOf } from '../common/index.js';
import type { LoadedShard, ModelTable } from '../models/index.js';

/** Operations on a serving model: verify, heal, attest, drill. It is not wiped meanwhile. */
export class ModelWork {
  readonly #manager: VramManager;
  readonly #table: ModelTable;

  constructor(manager: VramManager, table: ModelTable) {
    this.#manager = manager;
    this.#table = table;
  }

  /** Verifies every shard in place. Damage is an outcome here, not an error. Errors: NOT_FOUND, STOPPED. */
  async verify(name: string, signal?: AbortSignal): Promise<ModelOutcome> {
    return await this.#eachShard(name, async ({ sealed }) => {
      const report = await this.#manager.verify(sealed, { signal });
      return { fsverity: report.actual, durationMs: report.durationMs, blocks: 0 };
    });
  }

  /** Repairs every shard from its source. Errors: NOT_FOUND, STOPPED. */
  async heal(name: string, signal?: AbortSignal): Promise<ModelOutcome> {
    return await this.#eachShard(name, async ({ sealed, from }) => {
      const source = await from.open({ signal });
      try {
        const report = await this.#manager.heal(sealed, source, { signal });
        return { fsverity: report.fsverity, durationMs: report.durationMs, blocks: report.healedBlocks };
      } finally {
        await source.close();
      }
    });
  }

  /** Errors: NOT_FOUND, STOPPED, INVALID_INPUT, INTEGRITY_VIOLATION, and the others of VramManager.attest(). */
  async attest(name: string, nonce: Uint8Array, signal?: AbortSignal): Promise<Attested> {
    const generation = this.#table.serving(name);
    return await generation.use(async () => {
      const attestations: unknown[] = [];
      for (const { sealed } of generation.shards) {
        attestations.push(await this.#manager.attest(sealed, { nonce, signal }));
      }
      return { name, generation: generation.number, attestations };
    });
  }

  /** Damages one shard on purpose. Errors: NOT_FOUND, STOPPED, INVALID_INPUT (also without drills), AUDIT_FAILED. */
  async drill(name: string, { shard = 0, flips, seed }: DrillRequest): Promise<Drilled> {
    const generation = this.#table.serving(name);
    return await generation.use(async () => {
      const target = generation.shards[shard];
      if (target === undefined) {
        throw invalidInput(
          'shard',
          `must be below ${generation.shards.length}, the number of the model's shards`,
        );
      }
      const report = await this.#manager.drill(target.sealed, { flips, seed });
      const { shardId, blocks } = report;
      return { name, generation: generation.number, shardId, seed: report.seed, blocks };
    });
  }

  async #eachShard(
    name: string,
    work: (shard: LoadedShard) => Promise<Pick<ShardOutcome, 'fsverity' | 'durationMs' | 'blocks'>>,
  ): Promise<ModelOutcome> {
    const generation = this.#table.serving(name);
    return await generation.use(async () => {
      const shards: ShardOutcome[] = [];
      for (const shard of generation.shards) {
        const who = { shardId: shard.sealed.shardId, label: shard.from.label };
        try {
          shards.push({ ...who, ok: true, ...(await work(shard)), failure: null });
        } catch (error) {
          shards.push({
            ...who,
            ok: false,
            fsverity: null,
            durationMs: null,
            ...damageOf(error),
            failure: failureOf(error),
          });
        }
      }
      return { name, generation: generation.number, ok: shards.every(({ ok }) => ok), shards };
    });
  }
}

/** Damaged blocks, from the error of a failed verification. */
function damageOf(error: unknown): { readonly blocks: number } {
  const damaged = error instanceof VramError ? (error.report?.damaged ?? []) : [];
  return { blocks: damaged.reduce((sum, { blocks }) => sum + blocks, 0) };
}
