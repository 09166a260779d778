import {
  type AbandonedCalls,
  checkInteger,
  ForeignCalls,
  invalidInput,
  MAX_TIMER_MS,
  parseTraceparent,
  VramError,
} from '../../base/index.js';
import { boundedSigner, type CryptoProvider, type Signer } from '../../crypto/index.js';
import { FAIL_CLOSED, type Observer, type OperationEvent } from '../../events/index.js';
import {
  AUDIT_CATALOGUE,
  type AuditData,
  type AuditedEvent,
  auditData,
  type Clean,
  isAudited,
  isTimestamp,
  type LogEventType,
  type SignedCheckpoint,
  signCheckpoint,
  text,
} from '../format/index.js';
import { BoundedSink } from './bounded-sink.js';
import type { Chain, ChainedLine, RecordDraft } from './chain.js';
import { CheckpointDelivery, type OnCheckpoint } from './delivery.js';
import { REFUSAL_MS, RefusedHandles } from './refused-handles.js';
import type { RecordedSecret } from './secret.js';
import type { AuditGroup, AuditSink } from './sink.js';

/** Records between two checkpoints, at most. */
export const CHECKPOINT_RECORDS = 256;
/** How long a record that nobody waits for may stay unwritten, ms. */
const GROUP_MS = 20;
/** How long a written record may stay without a checkpoint while nothing else happens, ms. */
const CHECKPOINT_MS = 1_000;
/** Between two attempts to write while writing fails, ms. */
const RETRY_MS = 100;
const DEFAULT_MAX_QUEUE = 8_192;
const DEFAULT_SINK_MS = 30_000;
/** Five minutes: a person may have to find the key and touch it. */
const DEFAULT_SIGNER_MS = 300_000;

export interface AuditLogOptions {
  /** Events that may wait to be written before emitters have to wait: 1 and more, default 8192. */
  readonly maxQueue?: number | undefined;
  /**
   * Called with each new checkpoint, one after the other. A failure does not stop the log; `close()` rejects with it, and
   * `status().checkpointFailures` counts them.
   */
  readonly onCheckpoint?: OnCheckpoint | undefined;
  /**
   * Milliseconds that a sink or `onCheckpoint` may take for one call, from 1 to 2^31 - 1; default 30,000. After that the log
   * fails (AUDIT_FAILED) until the sink answers, and what it was not given is kept for it; a checkpoint counts as not taken.
   */
  readonly sinkMs?: number | undefined;
  /**
   * Milliseconds that the signer may take for one checkpoint, from 1 to 2^31 - 1; default 300,000. After that the log fails
   * (AUDIT_FAILED) until the signer answers.
   */
  readonly signerMs?: number | undefined;
  /** Wall clock; default the system's. */
  readonly now?: (() => Date) | undefined;
  /** Monotonic milliseconds; default performance.now. */
  readonly monotonicMs?: (() => number) | undefined;
}

export interface AuditLogParts {
  readonly crypto: CryptoProvider;
  readonly chain: Chain;
  readonly sinks: readonly AuditSink[];
  /** null: no checkpoints. */
  readonly signer: Signer | null;
  /** The worker's token as text may hold it: it is taken out of every record (AU-006). Default: nothing is. */
  readonly secret?: RecordedSecret;
  /** Records that the newest checkpoint covers; default all that the chain has. */
  readonly checkpointedSize?: number;
}

/** The head of the log: what an attestation carries. */
export interface LogHead {
  readonly origin: string;
  readonly logId: string;
  /** Number of records. */
  readonly size: number;
  /** RFC 6962 root of these records, 32 bytes. */
  readonly root: Uint8Array;
  /** The signed checkpoint of exactly this head, or null where none are signed. */
  readonly checkpoint: string | null;
}

export interface AuditStatus {
  /** Records in the chain. */
  readonly records: number;
  readonly queued: number;
  /** True while the log cannot be written; seals and executions fail meanwhile. */
  readonly failing: boolean;
  /** Since the last recovery: events that found the queue full while writing failed. */
  readonly unrecordedEvents: number;
  readonly unrecordedReleases: number;
  /** Checkpoints that `onCheckpoint` did not take. */
  readonly checkpointFailures: number;
  /** Calls into sinks, signer and `onCheckpoint` that were given up, and how many of these ended later. */
  readonly abandonedCalls: AbandonedCalls;
}

/** What the waits for a log take. */
export interface AuditWaitOptions {
  /** Ends the wait (ABORTED), not what is waited for. */
  readonly signal?: AbortSignal | undefined;
}

interface Entry {
  readonly draft: () => RecordDraft;
  readonly critical: boolean;
}

/** How far an entry has come: out of the queue; on stable storage; under a checkpoint. */
type Stage = 'taken' | 'durable' | 'covered';

/** Waits until every entry up to `ticket` (counted from the first ever enqueued) has come to a stage. */
interface Waiter {
  readonly ticket: number;
  readonly stage: Stage;
  readonly resolve: () => void;
  readonly reject: (error: VramError) => void;
}

/**
 * The log's writer, an Observer. Telling it of an event is an enqueue; records are built, chained and written in groups
 * behind it, in the order in which the events came. See docs/audit.md for what waits for what.
 */
export class AuditLog implements Observer {
  readonly name = 'audit';
  readonly required = true;
  readonly #crypto: CryptoProvider;
  readonly #chain: Chain;
  readonly #sinks: readonly AuditSink[];
  readonly #signer: Signer | null;
  readonly #clean: Clean;
  readonly #maxQueue: number;
  readonly #calls = new ForeignCalls();
  /** Waits of callers for this log itself, which are no foreign calls. */
  readonly #waits = new ForeignCalls();
  readonly #delivery: CheckpointDelivery | null;
  readonly #now: () => Date;
  readonly #monotonicMs: () => number;

  readonly #queue: Entry[] = [];
  #waiters: Waiter[] = [];
  #enqueued = 0;
  /**
   * Events whose promise may reject though they are kept and will be written: told again, they are the same and not
   * written twice.
   */
  readonly #awaited = new WeakSet<OperationEvent>();
  /** Counted as unrecorded; told again, they are not counted twice. */
  readonly #refused = new WeakSet<OperationEvent>();
  readonly #refusals = new RefusedHandles();
  #refusalTimer: ReturnType<typeof setTimeout> | null = null;
  readonly #reached: Record<Stage, number> = { taken: 0, durable: 0, covered: -1 };
  /** A checkpoint that covers this ticket is requested. */
  #requestedTicket = -1;

  #draining: Promise<void> | null = null;
  #groupTimer: ReturnType<typeof setTimeout> | null = null;
  #checkpointTimer: ReturnType<typeof setTimeout> | null = null;
  #checkpointed: SignedCheckpoint | null = null;
  #checkpointedSize: number;

  #failure: { readonly error: VramError; readonly code: string | null } | null = null;
  #failedAtMs = 0;
  #unrecordedEvents = 0;
  #unrecordedReleases = 0;

  #closing: Promise<void> | null = null;

  constructor(parts: AuditLogParts, options: AuditLogOptions = {}) {
    const { crypto, chain, sinks, signer } = parts;
    if (sinks.length === 0) throw invalidInput('sinks', 'must be at least one sink');
    this.#crypto = crypto;
    this.#chain = chain;
    const sinkMs = checkInteger('sinkMs', options.sinkMs ?? DEFAULT_SINK_MS, 1, MAX_TIMER_MS);
    const signerMs = checkInteger('signerMs', options.signerMs ?? DEFAULT_SIGNER_MS, 1, MAX_TIMER_MS);
    this.#sinks = sinks.map((sink) => new BoundedSink(sink, this.#calls, sinkMs));
    this.#signer =
      signer === null ? null : boundedSigner(signer, this.#calls, signerMs, () => unsigned(signerMs));
    const { secret } = parts;
    this.#clean = secret === undefined ? (value) => value : (value) => secret.clean(value);
    this.#maxQueue = checkInteger('maxQueue', options.maxQueue ?? DEFAULT_MAX_QUEUE, 1);
    const { onCheckpoint } = options;
    this.#delivery =
      onCheckpoint === undefined ? null : new CheckpointDelivery(onCheckpoint, this.#calls, sinkMs);
    this.#now = options.now ?? (() => new Date());
    this.#monotonicMs = options.monotonicMs ?? (() => performance.now());
    this.#checkpointedSize = parts.checkpointedSize ?? chain.size;
  }

  /**
   * Takes an event. Returns nothing for events that are no audit matter and for those written in groups; a promise for
   * CRITICAL ones (on stable storage), when the queue is full (there is room again), and while writing fails: then also
   * for the start of an operation that must not go unrecorded, whatever it will have to record. Errors of the promise:
   * AUDIT_FAILED. An event that was rejected may be told again, as the same object: it is written once.
   */
  on(event: OperationEvent): void | Promise<void> {
    if (!isAudited(event)) return this.#onUnaudited(event);
    if (this.#closing !== null) return Promise.reject(closedError());
    if (!this.#awaited.has(event) && this.#sharesRecord(event)) {
      return this.#failure === null ? undefined : this.#retry(this.#failure.error);
    }
    if (this.#failure !== null) return this.#onWhileFailing(event, this.#failure.error);
    if (this.#awaited.has(event)) return this.#wait('durable');
    const full = this.#queue.length >= this.#maxQueue;
    const critical = this.#enqueueEvent(event);
    if (critical || full) {
      this.#awaited.add(event);
      return this.#wait(critical ? 'durable' : 'taken');
    }
    if (this.#queue.length >= CHECKPOINT_RECORDS) this.#wake();
    else this.#groupTimer ??= setTimeout(() => this.#wake(), GROUP_MS);
    return undefined;
  }

  /** Records what the log says of itself, and waits until it is on stable storage. Errors: AUDIT_FAILED. */
  record(type: LogEventType, data: AuditData): Promise<void> {
    if (this.#closing !== null) return Promise.reject(closedError());
    this.#enqueue(this.#logEntry(type, () => data));
    return this.#wait('durable');
  }

  /** Resolves when everything told so far is on stable storage. Errors: AUDIT_FAILED, ABORTED. */
  flush(options: AuditWaitOptions = {}): Promise<void> {
    return this.#until(options, () => this.#flush());
  }

  #flush(): Promise<void> {
    if (this.#closing !== null) return this.#closing;
    this.#recordRefusals();
    return this.#reached.durable === this.#enqueued && this.#failure === null
      ? Promise.resolve()
      : this.#wait('durable');
  }

  /** Flushes, publishes a checkpoint of everything, and gives it. Errors: AUDIT_FAILED, ABORTED. */
  head(options: AuditWaitOptions = {}): Promise<LogHead> {
    return this.#until(options, () => this.#head());
  }

  async #head(): Promise<LogHead> {
    if (this.#closing !== null) throw closedError();
    this.#recordRefusals();
    await this.#waitForCheckpoint();
    // Records that came meanwhile may be in the chain already; the newest checkpoint is a head of what was flushed too.
    const { origin, logId } = this.#chain;
    if (this.#signer !== null && this.#checkpointed !== null) {
      const { size, root, note } = this.#checkpointed;
      return { origin, logId, size, root, checkpoint: note };
    }
    return { origin, logId, size: this.#chain.size, root: await this.#chain.root(), checkpoint: null };
  }

  status(): AuditStatus {
    return {
      records: this.#chain.size,
      queued: this.#queue.length,
      failing: this.#failure !== null,
      unrecordedEvents: this.#unrecordedEvents,
      unrecordedReleases: this.#unrecordedReleases,
      checkpointFailures: this.#delivery?.failures ?? 0,
      abandonedCalls: this.#calls.abandoned,
    };
  }

  /**
   * Writes everything, a closing record and a last checkpoint, and gives back what the sinks hold. Again: the same promise.
   * A signal ends the wait; the log goes on closing. Errors: AUDIT_FAILED, ABORTED.
   */
  close(options: AuditWaitOptions = {}): Promise<void> {
    return this.#until(options, () => {
      this.#closing ??= this.#close();
      return this.#closing;
    });
  }

  /** Gives back what the sinks hold, and writes nothing more: for a log that could not be opened. Never rejects. */
  async abandon(): Promise<void> {
    this.#closing ??= this.#closeParts().then(() => undefined);
    await Promise.allSettled([this.#closing]);
  }

  #until<T>({ signal }: AuditWaitOptions, wait: () => Promise<T>): Promise<T> {
    if (signal === undefined) return wait();
    if (!(signal instanceof AbortSignal))
      return Promise.reject(invalidInput('signal', 'must be an AbortSignal'));
    return this.#waits.run(wait, { ends: [signal] });
  }

  async #close(): Promise<void> {
    const failures: unknown[] = [];
    this.#recordRefusals();
    this.#enqueue(this.#logEntry('audit.closed', () => ({ records: this.#chain.size + 1 })));
    try {
      await this.#waitForCheckpoint();
    } catch (error) {
      failures.push(error);
    }
    failures.push(...(await this.#closeParts()));
    await this.#delivery?.done();
    const undelivered = this.#delivery?.error ?? null;
    if (undelivered !== null) failures.push(undelivered);
    if (failures.length > 0) throw auditFailed('the audit log could not be closed in order', failures[0]);
  }

  /** Gives the failures. */
  async #closeParts(): Promise<unknown[]> {
    this.#stopTimers();
    const failures: unknown[] = [];
    // The first one last: a directory lets its next writer in when everything else is at rest.
    for (const sink of [...this.#sinks].reverse()) {
      try {
        await sink.close();
      } catch (error) {
        failures.push(error);
      }
    }
    this.#chain.destroy();
    return failures;
  }

  /**
   * AU-005: an execution within maxAgeMs has nothing to record before it runs, so its start is where a log that fails
   * has to say so.
   */
  #onUnaudited(event: OperationEvent): void | Promise<void> {
    if (event.type !== 'operation.started' || !FAIL_CLOSED.has(event.operation)) return undefined;
    if (this.#closing !== null) return Promise.reject(closedError());
    return this.#failure === null ? undefined : this.#retry(this.#failure.error);
  }

  #onWhileFailing(event: AuditedEvent, error: VramError): Promise<void> {
    if (!this.#awaited.has(event)) {
      if (this.#queue.length < this.#maxQueue) {
        this.#enqueueEvent(event);
        this.#awaited.add(event);
      } else if (!this.#refused.has(event)) {
        this.#refused.add(event);
        this.#unrecordedEvents += 1;
        if (event.type === 'vram.deallocated') this.#unrecordedReleases += 1;
      }
    }
    return this.#retry(error);
  }

  /** True for a refused handle that waits for the record which it shares; see RefusedHandles. */
  #sharesRecord(event: AuditedEvent): boolean {
    const shares = this.#refusals.takes(event);
    this.#scheduleRefusals();
    return shares;
  }

  #scheduleRefusals(): void {
    if (this.#closing !== null || !this.#refusals.sharing) return;
    this.#refusalTimer ??= setTimeout(() => {
      this.#refusalTimer = null;
      this.#recordRefusals();
      this.#refusals.endSecond();
      this.#scheduleRefusals();
      this.#wake();
    }, REFUSAL_MS);
  }

  /**
   * Enqueues the record of the refused handles that have none yet. While writing fails and the queue is full they stay
   * counted.
   */
  #recordRefusals(): void {
    if (this.#failure !== null && this.#queue.length >= this.#maxQueue) return;
    const data = this.#refusals.take();
    if (data !== null) this.#enqueue(this.#logEntry('handles.refused', () => data));
  }

  /** Rejects, unless it is time for another attempt at writing, whose outcome it then tells. */
  #retry(error: VramError): Promise<void> {
    if (this.#monotonicMs() - this.#failedAtMs < RETRY_MS) return Promise.reject(error);
    return this.#wait('durable');
  }

  /** True for a CRITICAL event. */
  #enqueueEvent(event: AuditedEvent): boolean {
    const critical = AUDIT_CATALOGUE[event.type].severity === 'CRITICAL';
    this.#enqueue({ draft: () => this.#draftOf(event), critical });
    return critical;
  }

  #enqueue(entry: Entry): void {
    this.#queue.push(entry);
    this.#enqueued += 1;
  }

  /** Wakes the writer and waits for everything enqueued so far. */
  #wait(stage: Stage): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiters.push({ ticket: this.#enqueued, stage, resolve, reject });
      this.#wake();
    });
  }

  #waitForCheckpoint(): Promise<void> {
    this.#requestedTicket = this.#enqueued;
    return this.#wait(this.#signer === null ? 'durable' : 'covered');
  }

  #wake(): void {
    if (this.#groupTimer !== null) clearTimeout(this.#groupTimer);
    this.#groupTimer = null;
    this.#draining ??= this.#drain();
  }

  #stopTimers(): void {
    if (this.#groupTimer !== null) clearTimeout(this.#groupTimer);
    if (this.#checkpointTimer !== null) clearTimeout(this.#checkpointTimer);
    if (this.#refusalTimer !== null) clearTimeout(this.#refusalTimer);
    this.#groupTimer = null;
    this.#checkpointTimer = null;
    this.#refusalTimer = null;
  }

  /** Writes until nothing is queued and nobody waits. Never rejects: waiters are told. */
  async #drain(): Promise<void> {
    // What one tick emits goes into one group.
    await Promise.resolve();
    try {
      if (this.#failure !== null) await this.#recover();
      while (this.#queue.length > 0 || this.#waiters.length > 0 || this.#checkpointDue()) {
        if (this.#checkpointDue()) await this.#publish();
        else await this.#writeGroup();
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#draining = null;
    }
    this.#scheduleCheckpoint();
  }

  #scheduleCheckpoint(): void {
    if (this.#failure !== null || this.#closing !== null || this.#signer === null) return;
    if (this.#chain.size === this.#checkpointedSize) return;
    this.#checkpointTimer ??= setTimeout(() => {
      this.#checkpointTimer = null;
      this.#requestedTicket = this.#enqueued;
      this.#wake();
    }, CHECKPOINT_MS);
  }

  #checkpointDue(): boolean {
    if (this.#signer === null) return false;
    if (this.#chain.size - this.#checkpointedSize >= CHECKPOINT_RECORDS) return true;
    const { taken, covered } = this.#reached;
    return covered < this.#requestedTicket && this.#requestedTicket <= taken;
  }

  async #writeGroup(): Promise<void> {
    const uncovered = this.#signer === null ? 0 : this.#chain.size - this.#checkpointedSize;
    const entries = this.#queue.splice(0, CHECKPOINT_RECORDS - uncovered);
    const { lines, failure } = await this.#chainAll(entries);
    this.#reached.taken += lines.length;
    await this.#toSinks(groupBySegment(lines));
    if (failure !== null) throw failure.cause;
    const awaited = this.#queue.length === 0 && this.#waiters.some(({ stage }) => stage === 'durable');
    if (awaited || entries.some(({ critical }) => critical)) await this.#sync();
    this.#settle();
  }

  /**
   * Entries that cannot be chained go back to the head of the queue; what was chained before them has its place and
   * must be written.
   */
  async #chainAll(
    entries: readonly Entry[],
  ): Promise<{ readonly lines: ChainedLine[]; readonly failure: { readonly cause: unknown } | null }> {
    const lines: ChainedLine[] = [];
    for (const { draft } of entries) {
      try {
        lines.push(await this.#chain.append(draft()));
      } catch (cause) {
        this.#queue.unshift(...entries.slice(lines.length));
        return { lines, failure: { cause } };
      }
    }
    return { lines, failure: null };
  }

  /** Every sink is given every group, whatever becomes of the others: the chain has moved on. */
  async #toSinks(groups: readonly AuditGroup[]): Promise<void> {
    const failures: unknown[] = [];
    for (const group of groups) {
      for (const sink of this.#sinks) {
        try {
          await sink.append(group);
        } catch (error) {
          failures.push(error);
        }
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  async #sync(): Promise<void> {
    const { taken } = this.#reached;
    for (const sink of this.#sinks) await sink.sync();
    this.#reached.durable = taken;
  }

  async #publish(): Promise<void> {
    const signer = this.#signer;
    if (signer === null) return;
    await this.#sync();
    const { origin, size } = this.#chain;
    const { taken } = this.#reached;
    const root = await this.#chain.root();
    const checkpoint = await signCheckpoint(this.#crypto, { origin, size, root }, signer);
    for (const sink of this.#sinks) await sink.checkpoint(checkpoint);
    this.#checkpointed = checkpoint;
    this.#checkpointedSize = size;
    this.#reached.covered = taken;
    this.#delivery?.deliver(checkpoint);
    this.#settle();
  }

  /** Tells waiters whose entries have come far enough. */
  #settle(): void {
    const arrived = ({ ticket, stage }: Waiter): boolean => ticket <= this.#reached[stage];
    const ready = this.#waiters.filter(arrived);
    this.#waiters = this.#waiters.filter((waiter) => !arrived(waiter));
    for (const { resolve } of ready) resolve();
  }

  #fail(cause: unknown): void {
    const error = auditFailed('the audit log cannot be written', cause);
    this.#failure = { error, code: systemCode(cause) };
    this.#failedAtMs = this.#monotonicMs();
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const { reject } of waiters) reject(error);
  }

  /** Sinks make good what they hold; then the log says what happened. */
  async #recover(): Promise<void> {
    await this.#sync();
    const code = this.#failure?.code ?? null;
    const unrecordedEvents = this.#unrecordedEvents;
    const unrecordedReleases = this.#unrecordedReleases;
    this.#failure = null;
    this.#unrecordedEvents = 0;
    this.#unrecordedReleases = 0;
    const recovered = this.#logEntry('audit.recovered', () =>
      recoveredData({ reason: 'write-failure', errorCode: code, unrecordedEvents, unrecordedReleases }),
    );
    // Ahead of what is queued: its place is where the gap was. Everything behind it moves one ticket on.
    this.#queue.unshift(recovered);
    this.#enqueued += 1;
    if (this.#requestedTicket >= 0) this.#requestedTicket += 1;
    this.#waiters = this.#waiters.map((waiter) => ({ ...waiter, ticket: waiter.ticket + 1 }));
  }

  #logEntry(type: LogEventType, data: () => AuditData): Entry {
    const { severity } = AUDIT_CATALOGUE[type];
    return {
      critical: severity === 'CRITICAL',
      draft: () => ({
        type,
        severity,
        ts: this.#now().toISOString(),
        correlationId: null,
        traceparent: null,
        data: data(),
      }),
    };
  }

  #draftOf(event: AuditedEvent): RecordDraft {
    return {
      type: event.type,
      severity: AUDIT_CATALOGUE[event.type].severity,
      ts: isTimestamp(event.at) ? event.at : this.#now().toISOString(),
      correlationId: text(event.correlationId, this.#clean),
      traceparent: parseTraceparent(event.traceparent) === null ? null : event.traceparent,
      data: auditData(event, this.#clean),
    };
  }
}

/** The data of `audit.recovered`; what is not given did not happen. */
export function recoveredData(
  given: { readonly reason: 'unclean-stop' | 'write-failure' } & AuditData,
): AuditData {
  return {
    errorCode: null,
    tornBytes: 0,
    tornFile: null,
    newlineAdded: false,
    recordsPastCheckpoint: 0,
    unrecordedEvents: 0,
    unrecordedReleases: 0,
    ...given,
  };
}

function groupBySegment(lines: readonly ChainedLine[]): AuditGroup[] {
  const groups: { segment: AuditGroup['segment']; firstSeq: number; lines: Uint8Array[] }[] = [];
  for (const { segment, seq, bytes } of lines) {
    const last = groups.at(-1);
    if (last !== undefined && last.segment === segment) last.lines.push(bytes);
    else groups.push({ segment, firstSeq: seq, lines: [bytes] });
  }
  return groups;
}

function unsigned(signerMs: number): VramError {
  return new VramError('AUDIT_FAILED', `the signer of the audit log has not signed for ${signerMs} ms`);
}

function closedError(): VramError {
  return new VramError('AUDIT_FAILED', 'the audit log is closed');
}

/** AUDIT_FAILED with the system's error code, which is all that is told of a foreign error. */
export function auditFailed(what: string, cause: unknown): VramError {
  if (cause instanceof VramError && cause.code === 'AUDIT_FAILED') return cause;
  const code = systemCode(cause);
  return new VramError('AUDIT_FAILED', code === null ? what : `${what}: ${code}`, { cause });
}

/** ENOSPC and the like, or null. */
function systemCode(error: unknown): string | null {
  if (error instanceof VramError) return systemCode(error.cause);
  if (typeof error !== 'object' || error === null || !('code' in error)) return null;
  return typeof error.code === 'string' && /^[A-Z0-9_]{2,40}$/.test(error.code) ? error.code : null;
}
