import { createHash } from 'node:crypto';
import type { GuardReport, GuardRequest, GuardView } from '../../api-schema/index.js';
import { type Clock, canonicalBytes, invalidInput, timestamp, VramError } from '../../base/index.js';
import { ServiceError } from '../common/index.js';
import { type KnownProcess, knownProcess } from './known-process.js';

/** Limit of guards. Each holds a name, a digest and one report, not its manifest. */
const MOST_GUARDS = 256;

/** A guard's report, to be recorded. */
export interface GuardClaim {
  readonly guardId: string;
  readonly model: string;
  readonly pid: number;
  readonly uid: number;
  readonly client: string;
  readonly manifestSha256: string;
  /** null for a registration. */
  readonly report: GuardReport | null;
}

export interface GuardBookOptions {
  readonly clock: Clock;
  readonly makeId: () => string;
  /** Records a claim before it takes effect. Errors: AUDIT_FAILED. */
  readonly record: (claim: GuardClaim) => Promise<void>;
  readonly processOf?: (pid: number) => Promise<KnownProcess | null>;
}

interface Guard {
  view: GuardView;
  readonly process: KnownProcess;
  /** Monotonic time at which the latest report arrived, milliseconds. */
  reportedMs: number;
}

/** A guard's latest report on its model. */
export interface GuardWord {
  readonly pid: number;
  readonly outcome: GuardReport['outcome'] | null;
  /** Since the report came. */
  readonly ageMs: number;
}

/**
 * Registered guards. A report is a claim of the guard's process: it does not affect the worker's own models.
 */
export class GuardBook {
  readonly #options: GuardBookOptions;
  readonly #guards = new Map<string, Guard>();

  constructor(options: GuardBookOptions) {
    this.#options = options;
  }

  list(): readonly GuardView[] {
    return [...this.#guards.values()].map(({ view }) => view);
  }

  /**
   * A new guard of the same process and model replaces the previous one. Errors: INVALID_INPUT, QUEUE_FULL,
   * AUDIT_FAILED.
   */
  async register({ model, pid, client, manifest }: GuardRequest): Promise<GuardView> {
    const known = await this.#processOf(pid);
    if (known === null) throw invalidInput('pid', 'is not a process on this host that the worker can see');
    const names = new Set(manifest.tensors.map(({ name }) => name));
    if (names.size < manifest.tensors.length) throw invalidInput('manifest', 'names a tensor twice');
    await this.#dropDead();
    const before = this.#find((guard) => guard.view.model === model && guard.process.pid === pid);
    if (before === null && this.#guards.size >= MOST_GUARDS) {
      throw new ServiceError('QUEUE_FULL', `${MOST_GUARDS} guards are registered; remove others first`);
    }
    const view: GuardView = {
      guardId: this.#options.makeId(),
      model,
      pid,
      uid: known.uid,
      client,
      tensors: manifest.tensors.length,
      byteLength: manifest.tensors.reduce((sum, { byteLength }) => sum + byteLength, 0),
      manifestSha256: createHash('sha256').update(canonicalBytes(manifest.tensors, 'manifest')).digest('hex'),
      registeredAt: timestamp(this.#options.clock),
      lastReport: null,
      lastReportAt: null,
      reports: 0,
    };
    await this.#record(view, null);
    if (before !== null) this.#guards.delete(before.view.guardId);
    this.#guards.set(view.guardId, { view, process: known, reportedMs: 0 });
    return view;
  }

  /** Errors: NOT_FOUND, also where its process is gone; AUDIT_FAILED. */
  async report(guardId: string, report: GuardReport): Promise<GuardView> {
    const guard = await this.#living(guardId);
    await this.#record(guard.view, report);
    guard.view = {
      ...guard.view,
      lastReport: report,
      lastReportAt: timestamp(this.#options.clock),
      reports: guard.view.reports + 1,
    };
    guard.reportedMs = this.#options.clock.monotonic();
    return guard.view;
  }

  /** Errors: NOT_FOUND. */
  remove(guardId: string): void {
    if (!this.#guards.delete(guardId)) throw noGuard();
  }

  /** The latest reports of a model's guards whose processes still run. */
  async wordsOn(model: string): Promise<readonly GuardWord[]> {
    await this.#dropDead();
    const now = this.#options.clock.monotonic();
    return [...this.#guards.values()]
      .filter(({ view }) => view.model === model)
      .map(({ view, reportedMs }) => ({
        pid: view.pid,
        outcome: view.lastReport?.outcome ?? null,
        ageMs: Math.max(0, now - reportedMs),
      }));
  }

  async #living(guardId: string): Promise<Guard> {
    const guard = this.#guards.get(guardId);
    if (guard === undefined) throw noGuard();
    if (await this.#isAlive(guard)) return guard;
    this.#guards.delete(guardId);
    throw noGuard();
  }

  async #dropDead(): Promise<void> {
    for (const [id, guard] of this.#guards) if (!(await this.#isAlive(guard))) this.#guards.delete(id);
  }

  async #isAlive({ process: { pid, startTime } }: Guard): Promise<boolean> {
    return (await this.#processOf(pid))?.startTime === startTime;
  }

  async #record(view: GuardView, report: GuardReport | null): Promise<void> {
    const { guardId, model, pid, uid, client, manifestSha256 } = view;
    await this.#options.record({ guardId, model, pid, uid, client, manifestSha256, report });
  }

  #find(which: (guard: Guard) => boolean): Guard | null {
    return [...this.#guards.values()].find(which) ?? null;
  }

  async #processOf(pid: number): Promise<KnownProcess | null> {
    return await (this.#options.processOf ?? knownProcess)(pid);
  }
}

function noGuard(): VramError {
  return new VramError('NOT_FOUND', 'there is no such guard; register it again');
}
