import type { Drilled, ModelOutcome, ShardOutcome, WorkerStatus } from '../../api-schema/index.js';
import { invalidInput, VramError } from '../../base/index.js';
import type { WorkerClient } from '../../client/index.js';
import type { CommandContext } from '../context.js';
import { jsonDocument } from '../output.js';
import { escapeForTerminal } from '../text.js';
import { asVramError, failureAsError, type WorkerOptions, workerClient } from '../worker-client.js';
import { verifiedText, workerJson, workerText } from '../worker-report.js';

interface DrillWorkerOptions extends WorkerOptions {
  readonly json?: boolean | undefined;
  readonly flips: number;
  readonly seed?: number | undefined;
}

/** What a worker takes in one drill. */
const MOST_FLIPS = 1_024;
const MOST_SEED = 2 ** 32 - 1;
/** For events that the worker has already. */
const EVENTS_MS = 30_000;

/**
 * `drill --worker SOCKET [MODEL]`: damages a model that a worker serves, and shows that the worker finds and heals it.
 * Whatever fails on the way, the worker is asked to heal before this ends.
 */
export class WorkerDrill {
  readonly #context: CommandContext;
  readonly #options: DrillWorkerOptions;
  readonly #people: (text: string) => void;
  readonly #document: Record<string, unknown> = {
    v: 1,
    ok: false,
    worker: null,
    name: null,
    generation: null,
    shardId: null,
    seed: null,
    drilledBlocks: [],
    detected: false,
    foundBy: null,
    healed: false,
    reverified: false,
  };

  constructor(context: CommandContext, options: DrillWorkerOptions) {
    this.#context = context;
    this.#options = options;
    this.#people = options.json === true ? context.io.stderr : context.io.stdout;
  }

  /** Errors: INTEGRITY_VIOLATION where damage was not found or not healed; those of asking. */
  async run(name: string | undefined): Promise<void> {
    const { io, reporter } = this.#context;
    try {
      checkLimits(this.#options);
      const client = await workerClient(this.#options, io);
      const status = await client.status({ signal: io.signal });
      this.#document['worker'] = workerJson(status);
      this.#people(workerText(status));
      await this.#drill(client, nameFor(status, name), status.lastEventId);
      this.#document['ok'] = true;
    } catch (thrown) {
      const error = asVramError(thrown);
      this.#document['error'] = reporter.json(error);
      throw error;
    } finally {
      if (this.#options.json === true) io.stdout(jsonDocument(this.#document));
    }
  }

  async #drill(client: WorkerClient, name: string, lastEventId: number): Promise<void> {
    const { signal } = this.#context.io;
    this.#people(`\n${escapeForTerminal(name)}\n`);
    const { flips, seed } = this.#options;
    const before = await client.verify(name, { signal });
    requireOk(before, 'is damaged before the drill');
    const drilled = await client.drill(name, { flips, seed }, { signal });
    try {
      this.#noteDrill(drilled);
      const foundBy = await this.#found(client, drilled, lastEventId);
      this.#document['detected'] = true;
      this.#document['foundBy'] = foundBy;
      this.#people(`  detected  by ${foundBy === 'verify' ? 'verifying it' : "the worker's own scrubber"}\n`);
      requireOk(await client.heal(name, { signal }), 'was not healed');
      this.#document['healed'] = true;
      this.#people('  healed    from where it came from; quarantine lifted\n');
      const after = await client.verify(name, { signal });
      requireOk(after, 'is damaged after it was healed');
      this.#document['reverified'] = true;
      for (const shard of after.shards) this.#people(verifiedText(shard));
    } catch (error) {
      await this.#leaveHealed(client, name);
      throw error;
    }
  }

  #noteDrill({ name, generation, shardId, seed, blocks }: Drilled): void {
    Object.assign(this.#document, { name, generation, shardId, seed, drilledBlocks: blocks });
    const many = `${blocks.length} ${blocks.length === 1 ? 'block' : 'blocks'}`;
    this.#people(`  flipped   bits in ${many} of generation ${generation}, seed ${seed}\n`);
  }

  /**
   * By whom the damage was found. Where a verification finds none, the scrubber may have found and healed it first, which
   * the worker's events tell. Errors: INTEGRITY_VIOLATION.
   */
  async #found(client: WorkerClient, drilled: Drilled, lastEventId: number): Promise<'verify' | 'scrub'> {
    const { io } = this.#context;
    const { generation, shards } = await client.verify(drilled.name, { signal: io.signal });
    if (generation !== drilled.generation) {
      throw new VramError('STOPPED', 'another generation took over during the drill: nothing was shown');
    }
    const shard = shards.find(({ shardId }) => shardId === drilled.shardId);
    if (shard !== undefined && isFound(shard, drilled)) return 'verify';
    if (await this.#isReported(client, drilled, lastEventId)) return 'scrub';
    throw shard?.failure != null
      ? failureAsError(shard.failure)
      : new VramError('INTEGRITY_VIOLATION', 'the damage was not found');
  }

  /** Whether the worker's events since then report the drilled shard as damaged. */
  async #isReported(client: WorkerClient, { shardId }: Drilled, lastEventId: number): Promise<boolean> {
    const { io } = this.#context;
    const upTo = (await client.status({ signal: io.signal })).lastEventId;
    if (upTo <= lastEventId) return false;
    const signal = AbortSignal.any([io.signal, AbortSignal.timeout(EVENTS_MS)]);
    for await (const event of client.events({ after: lastEventId, signal })) {
      if (event.type === 'shard.damaged' && event.shardId === shardId) return true;
      if (event.id >= upTo) return false;
    }
    return false;
  }

  /** Damage must not remain after the command. */
  async #leaveHealed(client: WorkerClient, name: string): Promise<void> {
    try {
      // Not ended by the signal that may have ended the drill.
      requireOk(await client.heal(name), 'was not healed');
    } catch {
      this.#context.io.stderr(
        'warning: the model may still be damaged on purpose: heal it, or load it again\n',
      );
    }
  }
}

function isFound({ failure, blocks }: ShardOutcome, drilled: Drilled): boolean {
  return failure?.code === 'INTEGRITY_VIOLATION' && blocks >= drilled.blocks.length;
}

/** Errors: the first failure of the outcome. */
function requireOk({ ok, shards }: ModelOutcome, what: string): void {
  if (ok) return;
  const failure = shards.find((shard) => shard.failure !== null)?.failure ?? null;
  if (failure === null) throw new VramError('INTEGRITY_VIOLATION', `the model ${what}`);
  throw failureAsError({ code: failure.code, detail: `the model ${what}: ${failure.detail}` });
}

/** Errors: INVALID_INPUT. */
function checkLimits({ flips, seed = 0 }: DrillWorkerOptions): void {
  if (flips > MOST_FLIPS) throw invalidInput('flips', `must be at most ${MOST_FLIPS} with --worker`);
  if (seed > MOST_SEED) throw invalidInput('seed', `must be at most ${MOST_SEED} with --worker`);
}

/** The named model, or the only one. Errors: INVALID_INPUT, NOT_FOUND. */
function nameFor({ models }: WorkerStatus, name: string | undefined): string {
  if (name !== undefined) return name;
  const [only, ...others] = models;
  if (only === undefined) throw new VramError('NOT_FOUND', 'the worker holds no model');
  if (others.length > 0) throw invalidInput('file', "must name one of the worker's models: it holds several");
  return only.name;
}
