import type {
  Attested,
  CommitRequest,
  Committed,
  Drilled,
  DrillRequest,
  GuardReport,
  GuardView,
  ModelOutcome,
  ModelView,
  Plan,
  PlanRequest,
  WorkerState,
  WorkerStatus,
} from '../../api-schema/index.js';
import { invalidInput, Serial, timerOf, timestamp, VramError } from '../../base/index.js';
import { version } from '../../generated/version.js';
import type { VramManager } from '../../manager/index.js';
import { EventLog, failureOf, toWorkerEvent } from '../common/index.js';
import { Executions } from '../executions/index.js';
import { GuardBook } from '../guards/index.js';
import {
  asTensors,
  type CommitOptions,
  checkCommitOptions,
  checkName,
  Generation,
  LoadWatch,
  ModelTable,
  modelView,
  plannedBytes,
  Reservations,
  type ShardWatch,
} from '../models/index.js';
import { Computing } from './computing.js';
import { Loading } from './loading.js';
import { ModelWork } from './model-work.js';
import { Planning } from './planning.js';
import { type Phase, type Readiness, readinessOf } from './readiness.js';
import { Scrubbing } from './scrubbing.js';
import type { Sharing, WorkerOptions } from './worker-options.js';

const INSTANCE_BYTES = 8;
const RESERVATION_BYTES = 16;
const GUARD_BYTES = 16;

/** Holds models sealed and verified on one device until it is closed. */
export class Worker {
  readonly instance: string;
  readonly events: EventLog;
  readonly executions: Executions;
  readonly guards: GuardBook;
  readonly #options: WorkerOptions;
  readonly #manager: VramManager;
  readonly #watch: ShardWatch;
  readonly #table: ModelTable;
  readonly #work: ModelWork;
  readonly #planning: Planning;
  readonly #reservations: Reservations;
  readonly #scrubbing: Scrubbing;
  readonly #loading: Loading;
  readonly #admission = new Serial();
  readonly #background = new Set<Promise<void>>();
  readonly #startedAt: string;
  #phase: Phase = 'serving';
  #lastState: WorkerState = 'starting';
  #draining: Promise<void> | null = null;

  private constructor(options: WorkerOptions) {
    const { manager, watch, clock } = options;
    this.#options = options;
    this.#manager = manager;
    this.#watch = watch;
    this.#table = new ModelTable(options.mostModels);
    this.#work = new ModelWork(manager, this.#table);
    this.events = new EventLog(clock);
    this.instance = options.randomHex(INSTANCE_BYTES);
    this.#startedAt = timestamp(clock);
    this.#reservations = new Reservations(clock, options.reservationMs, () =>
      options.randomHex(RESERVATION_BYTES),
    );
    this.#planning = new Planning({
      manager,
      table: this.#table,
      reservations: this.#reservations,
      roots: options.roots,
      urlHosts: options.urlHosts,
      stallMs: options.stallMs,
    });
    this.#scrubbing = new Scrubbing(manager, options.scrub);
    this.#loading = new Loading({
      manager,
      table: this.#table,
      watch,
      share: options.share,
      onnx: options.onnx,
      scrubbing: this.#scrubbing,
      emit: (type, { name, number }, data) =>
        this.events.append({ type, model: name, generation: number, shardId: null, data }),
      noteState: () => this.#noteState(),
      inBackground: (work) => this.#inBackground(work),
    });
    this.guards = new GuardBook({
      clock,
      makeId: () => options.randomHex(GUARD_BYTES),
      record: options.recordClaim,
    });
    const computing = new Computing({
      manager,
      watch,
      table: this.#table,
      onnx: options.onnx,
      engines: options.engines,
      holders: (generation) => holdersOf(options.share, generation),
      guards: this.guards,
      clock,
    });
    this.executions = new Executions({
      clock,
      instance: this.instance,
      mostQueued: options.mostQueued,
      prepare: (request) => {
        this.#requireServing();
        return computing.prepare(request);
      },
      onUnforeseen: options.onUnforeseen,
    });
  }

  /** Begins to load the configured models, one after the other. */
  static start(options: WorkerOptions): Worker {
    const worker = new Worker(options);
    options.watch.follow((event) => {
      const generation = worker.#table.ofModelRef(event.modelRef);
      if (event.type === 'shard.quarantined' && generation !== null) {
        worker.executions.damaged(generation.name);
      }
      const draft = toWorkerEvent(event, generation);
      if (draft !== null) worker.events.append(draft);
    });
    worker.#inBackground(worker.#loadConfigured());
    return worker;
  }

  /** Reserves memory for a model to be committed. Atomic with respect to the worker's other plans. */
  async plan(request: PlanRequest, signal?: AbortSignal): Promise<Plan> {
    this.#requireServing();
    const shards = await this.#planning.shardsOf(request, signal);
    const bytes = plannedBytes(shards);
    return await this.#admission.run(async () => {
      const reason = await this.#planning.whyNot(bytes);
      this.#requireServing();
      const common = { bytes, shards: shards.length, instance: this.instance };
      if (reason !== null) {
        return { feasible: false, reason: reason.message, reservationId: null, expiresInMs: null, ...common };
      }
      const { id } = this.#reservations.hold(bytes);
      return {
        feasible: true,
        reason: null,
        reservationId: id,
        expiresInMs: this.#reservations.lifetimeMs,
        ...common,
      };
    });
  }

  /**
   * Starts loading a model. Under a name in use, the new model takes over once it is sealed and verified.
   * Errors: INVALID_INPUT, RESERVATION_EXPIRED, INSUFFICIENT_VRAM, SOURCE_MISMATCH, STOPPED, ABORTED.
   */
  async commit(request: CommitRequest, signal?: AbortSignal): Promise<Committed> {
    this.#requireServing();
    const name = checkName(request.name);
    const files = await this.#planning.sourceOf(request, request.format, signal);
    const options: CommitOptions = {
      expected: request.expected ?? null,
      hashing: request.hashing ?? 'host',
      part: request.part ?? null,
      layout: request.layout ?? 'files',
      share: request.share ?? false,
    };
    checkCommitOptions(options, files);
    if (options.share && this.#options.share === null) {
      throw invalidInput('share', 'needs a worker with a share socket ("share" in its settings)');
    }
    const source = options.layout === 'tensors' ? asTensors(files) : files;
    return await this.#admission.run(async () => {
      const number = this.#table.nextNumber(name);
      const bytes = plannedBytes(source.shards);
      if (request.reservationId === undefined) {
        const reason = await this.#planning.whyNot(bytes);
        // Where the free memory is unknown, the load itself finds out.
        if (reason?.code === 'INSUFFICIENT_VRAM') throw reason;
      } else {
        const held = this.#reservations.take(request.reservationId);
        if (held.bytes < bytes) {
          throw invalidInput(
            'reservationId',
            `holds ${held.bytes} bytes, but the model takes ${bytes}; plan it again`,
          );
        }
      }
      // Checked last: a drain that began during the device query has ended every load it saw.
      this.#requireServing();
      const watch = new LoadWatch(this.#options.clock, this.#options.stallMs);
      const generation = new Generation(name, number, source, options, bytes, watch);
      this.#table.begin(generation);
      generation.loaded = this.#loading.load(generation);
      this.#inBackground(generation.loaded);
      return { name, generation: number, instance: this.instance, events: `/v1/events?model=${name}` };
    });
  }

  models(): readonly ModelView[] {
    return this.#table.list().flatMap((entry) => modelView(entry, this.#watch) ?? []);
  }

  /** Errors: NOT_FOUND. */
  model(name: string): ModelView {
    const view = modelView(this.#table.find(name), this.#watch);
    if (view === null) throw new VramError('NOT_FOUND', `the model ${JSON.stringify(name)} is gone`);
    return view;
  }

  /** Cancels its load, waits for the model's users, and wipes it. Errors: NOT_FOUND, RELEASE_FAILED. */
  async remove(name: string): Promise<void> {
    const { current, next } = this.#table.remove(name);
    next?.watch.cancel(new VramError('ABORTED', 'the model was deleted while it was loaded'));
    await next?.loaded;
    if (current?.options.share === true) this.#options.share?.withdraw(name);
    if (current !== null) await this.#loading.leave(current, 'model.released');
    this.#noteState();
  }

  /** Verifies every shard in place. Damage is an outcome here, not an error. Errors: NOT_FOUND, STOPPED. */
  async verify(name: string, signal?: AbortSignal): Promise<ModelOutcome> {
    return await this.#work.verify(name, signal);
  }

  /** Repairs every shard from its source. Errors: NOT_FOUND, STOPPED. */
  async heal(name: string, signal?: AbortSignal): Promise<ModelOutcome> {
    return await this.#work.heal(name, signal);
  }

  /** Errors: NOT_FOUND, STOPPED, INVALID_INPUT, INTEGRITY_VIOLATION, and the others of VramManager.attest(). */
  async attest(name: string, nonce: Uint8Array, signal?: AbortSignal): Promise<Attested> {
    return await this.#work.attest(name, nonce, signal);
  }

  /** Damages one shard on purpose. Errors: NOT_FOUND, STOPPED, INVALID_INPUT (also without drills), AUDIT_FAILED. */
  async drill(name: string, request: DrillRequest): Promise<Drilled> {
    return await this.#work.drill(name, request);
  }

  /**
   * Takes a guard's report. A report of damage ends executions on the weights that it guards. Errors: NOT_FOUND,
   * AUDIT_FAILED.
   */
  async guardReport(guardId: string, report: GuardReport): Promise<GuardView> {
    const view = await this.guards.report(guardId, report);
    if (report.outcome === 'damaged') this.executions.damaged(view.model, 'guarded');
    return view;
  }

  async status(): Promise<WorkerStatus> {
    const { device, residency, residencyReason, workerId, policy } = this.#manager.status();
    const { state, reason } = this.readiness();
    const info = this.#manager.device;
    const capacity = await this.#planning.capacity();
    return {
      version,
      workerId,
      instance: this.instance,
      state,
      reason,
      startedAt: this.#startedAt,
      device: {
        id: device,
        name: info.name,
        uuid: info.uuid,
        residency,
        residencyReason,
        execution: info.execution,
      },
      policy: typeof policy === 'string' ? policy : 'custom',
      capacity,
      reservations: this.#reservations.count,
      executions: this.executions.counts,
      share: this.#shareView(),
      lastEventId: this.events.lastId,
      models: this.models(),
    };
  }

  /** Whether the worker should get requests, and if not, why. */
  readiness(): Readiness {
    const { models } = this.#options;
    return readinessOf(this.#phase, this.#manager, models, this.models(), this.executions.fullQueues);
  }

  /** Refuses new work, waits for running work, and frees everything unless `keep`. Safe to call twice. */
  drain(options: { readonly keep?: boolean | undefined } = {}): Promise<void> {
    this.#draining ??= this.#drain(options.keep === true);
    return this.#draining;
  }

  /** Drains, and ends the events. Errors: RELEASE_FAILED. */
  async close(): Promise<void> {
    const [drained] = await Promise.allSettled([this.drain()]);
    this.#phase = 'stopped';
    this.#noteState();
    this.events.end();
    if (drained.status === 'rejected') throw drained.reason;
  }

  async #drain(keep: boolean): Promise<void> {
    this.#phase = 'draining';
    this.#noteState();
    for (const one of this.#table.generations()) {
      if (one.state === 'loading') one.watch.cancel(new VramError('STOPPED', 'the worker is being drained'));
    }
    await this.#endExecutions(keep ? 0 : this.#options.drainMs);
    await this.#scrubbing.stop();
    await Promise.all(this.#background);
    if (keep) return;
    const names = this.#table.list().flatMap(({ current, next }) => (current ?? next)?.name ?? []);
    const results = await Promise.allSettled(names.map((name) => this.remove(name)));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  /** Waits for executions, then ends the remaining ones and waits for their computations. */
  async #endExecutions(waitMs: number): Promise<void> {
    const callOff = timerOf(this.#options.clock)(waitMs, () =>
      this.executions.endAll({ code: 'STOPPED', detail: 'the worker is being drained', retriable: false }),
    );
    await this.executions.idle();
    callOff();
  }

  #shareView(): WorkerStatus['share'] {
    const { share } = this.#options;
    return share === null ? null : { models: share.models, leases: share.leases().length };
  }

  async #loadConfigured(): Promise<void> {
    for (const request of this.#options.models) {
      try {
        const { name } = await this.commit(request);
        await this.#table.find(name).next?.loaded;
      } catch (error) {
        const { code, detail } = failureOf(error);
        const type = 'model.failed';
        this.events.append({
          type,
          model: request.name,
          generation: null,
          shardId: null,
          data: { code, detail },
        });
      }
    }
  }

  #requireServing(): void {
    if (this.#phase === 'serving') return;
    throw new VramError('STOPPED', 'the worker is being drained and takes no new work');
  }

  #noteState(): void {
    const { state, reason } = this.readiness();
    if (state === this.#lastState) return;
    this.#lastState = state;
    this.events.append({
      type: 'worker.state',
      model: null,
      generation: null,
      shardId: null,
      data: { state, reason },
    });
  }

  #inBackground(work: Promise<void>): void {
    // Failures are reported by events; close() waits for it.
    const settled = work.catch(() => undefined).finally(() => this.#background.delete(settled));
    this.#background.add(settled);
  }
}

/** Processes that hold a lease of this generation and may use it now. */
function holdersOf(share: Sharing | null, { shards }: Generation): number[] {
  const leases = share?.leases() ?? [];
  return leases.flatMap(({ state, pid, sealIds }) => {
    const holdsAll = shards.every(({ sealed }) => sealIds.includes(sealed.sealId));
    return state === 'lent' && pid !== null && holdsAll ? [pid] : [];
  });
}
