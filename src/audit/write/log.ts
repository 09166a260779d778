import { checkInteger, ForeignCalls, invalidInput, MAX_TIMER_MS, type VramError } from '../../base/index.js';
import { boundedSigner, type Signer } from '../../crypto/index.js';
import { FAIL_CLOSED, type Observer, type OperationEvent } from '../../events/index.js';
import {
  type AuditData,
  type AuditedEvent,
  type Clean,
  isAudited,
  type LogEventType,
} from '../format/index.js';
import { BoundedSink } from './bounded-sink.js';
import type { Chain, ChainedLine } from './chain.js';
import { CHECKPOINT_RECORDS, Checkpoints } from './checkpoints.js';
import { CheckpointDelivery } from './delivery.js';
import { type Entry, EntryMaker, recoveredData } from './entries.js';
import { auditFailed, closedError, systemCode, unsigned } from './failures.js';
import type {
  AuditLogOptions,
  AuditLogParts,
  AuditStatus,
  AuditWaitOptions,
  LogHead,
} from './log-options.js';
import { REFUSAL_MS, RefusedHandles } from './refused-handles.js';
import { Sinks } from './sinks.js';
import { type Stage, Tickets } from './tickets.js';

/** How long a record without a waiter may stay unwritten, ms. */
const GROUP_MS = 20;
/** Between two attempts to write while writing fails, ms. */
const RETRY_MS = 100;
const DEFAULT_MAX_QUEUE = 8_192;
const DEFAULT_SINK_MS = 30_000;
/** Five minutes: a person may have to find the key and touch it. */
const DEFAULT_SIGNER_MS = 300_000;

/**
 * The log's writer, an Observer. An event is only enqueued; records are built, chained and written in groups in the
 * background, in the order of the events. See docs/audit.md for what waits for what.
 */
export class AuditLog implements Observer {
  readonly name = 'audit';
  readonly required = true;
  readonly #chain: Chain;
  readonly #sinks: Sinks;
  readonly #entries: EntryMaker;
  readonly #maxQueue: number;
  readonly #calls = new ForeignCalls();
  /** Waits of callers for this log itself, which are not foreign calls. */
  readonly #waits = new ForeignCalls();
  readonly #delivery: CheckpointDelivery | null;
  readonly #tickets = new Tickets();
  /** null: no signer. */
  readonly #checkpoints: Checkpoints | null;
  readonly #monotonicMs: () => number;

  readonly #queue: Entry[] = [];
  /** Events whose promise may reject although they are queued: emitted again, they are not written twice. */
  readonly #awaited = new WeakSet<OperationEvent>();
  /** Counted as unrecorded; emitted again, they are not counted twice. */
  readonly #refused = new WeakSet<OperationEvent>();
  readonly #refusals = new RefusedHandles();
  #refusalTimer: ReturnType<typeof setTimeout> | null = null;

  #draining: Promise<void> | null = null;
  #groupTimer: ReturnType<typeof setTimeout> | null = null;

  #failure: { readonly error: VramError; readonly code: string | null } | null = null;
  #failedAtMs = 0;
  #unrecordedEvents = 0;
  #unrecordedReleases = 0;

  #closing: Promise<void> | null = null;

  constructor(parts: AuditLogParts, options: AuditLogOptions = {}) {
    const { crypto, chain, sinks, signer, secret } = parts;
    if (sinks.length === 0) throw invalidInput('sinks', 'must be at least one sink');
    this.#chain = chain;
    const sinkMs = checkInteger('sinkMs', options.sinkMs ?? DEFAULT_SINK_MS, 1, MAX_TIMER_MS);
    const signerMs = checkInteger('signerMs', options.signerMs ?? DEFAULT_SIGNER_MS, 1, MAX_TIMER_MS);
    this.#sinks = new Sinks(sinks.map((sink) => new BoundedSink(sink, this.#calls, sinkMs)));
    const clean: Clean = secret === undefined ? (value) => value : (value) => secret.clean(value);
    this.#entries = new EntryMaker(clean, options.now ?? (() => new Date()));
    this.#maxQueue = checkInteger('maxQueue', options.maxQueue ?? DEFAULT_MAX_QUEUE, 1);
    const { onCheckpoint } = options;
    this.#delivery =
      onCheckpoint === undefined ? null : new CheckpointDelivery(onCheckpoint, this.#calls, sinkMs);
    const bounded = (one: Signer): Signer =>
      boundedSigner(one, this.#calls, signerMs, () => unsigned(signerMs));
    this.#checkpoints =
      signer === null
        ? null
        : new Checkpoints({
            crypto,
            chain,
            sinks: this.#sinks,
            signer: bounded(signer),
            delivery: this.#delivery,
            tickets: this.#tickets,
            coveredSize: parts.checkpointedSize ?? chain.size,
          });
    this.#monotonicMs = options.monotonicMs ?? (() => performance.now());
  }

  /**
   * Takes an event. Returns nothing for events that are not recorded and for those written in groups; a promise for
   * CRITICAL ones (on stable storage), when the queue is full (there is room again), and while writing fails: then also
   * for the start of an operation that must not go unrecorded, whatever it will have to record. Errors of the promise:
   * AUDIT_FAILED. A rejected event may be emitted again as the same object: it is written once.
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
    const { critical } = this.#enqueue(this.#entries.ofEvent(event));
    if (critical || full) {
      this.#awaited.add(event);
      return this.#wait(critical ? 'durable' : 'taken');
    }
    if (this.#queue.length >= CHECKPOINT_RECORDS) this.#wake();
    else this.#groupTimer ??= setTimeout(() => this.#wake(), GROUP_MS);
    return undefined;
  }

  /** Writes a record of the log about itself and waits until it is on stable storage. Errors: AUDIT_FAILED. */
  record(type: LogEventType, data: AuditData): Promise<void> {
    if (this.#closing !== null) return Promise.reject(closedError());
    this.#enqueue(this.#entries.ofLog(type, () => data));
    return this.#wait('durable');
  }

  /** Resolves when every event so far is on stable storage. Errors: AUDIT_FAILED, ABORTED. */
  flush(options: AuditWaitOptions = {}): Promise<void> {
    return this.#until(options, () => this.#flush());
  }

  #flush(): Promise<void> {
    if (this.#closing !== null) return this.#closing;
    this.#recordRefusals();
    return this.#tickets.reached('durable') === this.#tickets.newest && this.#failure === null
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
    const newest = this.#checkpoints?.newest ?? null;
    if (newest !== null) {
      return { origin, logId, size: newest.size, root: newest.root, checkpoint: newest.note };
    }
    return { origin, logId, size: this.#chain.size, root: await this.#chain.root(), checkpoint: null };
  }

  /** How the log is doing now; never waits. */
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
   * Writes everything, a closing record and a last checkpoint, and closes the sinks. Called again, returns the same
   * promise. A signal ends the wait; the log goes on closing. Errors: AUDIT_FAILED, ABORTED.
   */
  close(options: AuditWaitOptions = {}): Promise<void> {
    return this.#until(options, () => {
      this.#closing ??= this.#close();
      return this.#closing;
    });
  }

  /** Closes the sinks without writing: for a log that could not be opened. Never rejects. */
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
    this.#enqueue(this.#entries.ofLog('audit.closed', () => ({ records: this.#chain.size + 1 })));
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
    const failures = await this.#sinks.close();
    this.#chain.destroy();
    return failures;
  }

  /** AU-005: an execution within maxAgeMs has nothing to record before it runs, so a failing log has to refuse its start. */
  #onUnaudited(event: OperationEvent): void | Promise<void> {
    if (event.type !== 'operation.started' || !FAIL_CLOSED.has(event.operation)) return undefined;
    if (this.#closing !== null) return Promise.reject(closedError());
    return this.#failure === null ? undefined : this.#retry(this.#failure.error);
  }

  #onWhileFailing(event: AuditedEvent, error: VramError): Promise<void> {
    if (!this.#awaited.has(event)) {
      if (this.#queue.length < this.#maxQueue) {
        this.#enqueue(this.#entries.ofEvent(event));
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
    if (data !== null) this.#enqueue(this.#entries.ofLog('handles.refused', () => data));
  }

  /** Rejects, unless another attempt at writing is due, whose outcome it then reports. */
  #retry(error: VramError): Promise<void> {
    if (this.#monotonicMs() - this.#failedAtMs < RETRY_MS) return Promise.reject(error);
    return this.#wait('durable');
  }

  #enqueue(entry: Entry): Entry {
    this.#queue.push(entry);
    this.#tickets.issue();
    return entry;
  }

  /** Wakes the writer and waits for everything enqueued so far. */
  #wait(stage: Stage): Promise<void> {
    const arrived = this.#tickets.wait(stage);
    this.#wake();
    return arrived;
  }

  #waitForCheckpoint(): Promise<void> {
    this.#checkpoints?.request();
    return this.#wait(this.#checkpoints === null ? 'durable' : 'covered');
  }

  #wake(): void {
    if (this.#groupTimer !== null) clearTimeout(this.#groupTimer);
    this.#groupTimer = null;
    this.#draining ??= this.#drain();
  }

  #stopTimers(): void {
    if (this.#groupTimer !== null) clearTimeout(this.#groupTimer);
    if (this.#refusalTimer !== null) clearTimeout(this.#refusalTimer);
    this.#groupTimer = null;
    this.#refusalTimer = null;
    this.#checkpoints?.stopTimer();
  }

  /** Writes until the queue is empty and there are no waiters. Never rejects: failures go to the waiters. */
  async #drain(): Promise<void> {
    // Events of one tick form one group.
    await Promise.resolve();
    try {
      if (this.#failure !== null) await this.#recover();
      for (;;) {
        if (this.#checkpoints?.due === true) await this.#publish(this.#checkpoints);
        else if (this.#queue.length > 0 || this.#tickets.anyWaiting) await this.#writeGroup();
        else break;
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#draining = null;
    }
    if (this.#failure === null && this.#closing === null) this.#checkpoints?.schedule(() => this.#wake());
  }

  async #writeGroup(): Promise<void> {
    const entries = this.#queue.splice(0, CHECKPOINT_RECORDS - (this.#checkpoints?.uncovered ?? 0));
    const { lines, failure } = await this.#chainAll(entries);
    this.#tickets.advance('taken', this.#tickets.reached('taken') + lines.length);
    await this.#sinks.append(lines);
    if (failure !== null) throw failure.cause;
    const awaited = this.#queue.length === 0 && this.#tickets.isAwaited('durable');
    if (awaited || entries.some(({ critical }) => critical)) await this.#sync();
    this.#tickets.settle();
  }

  /** Entries that cannot be chained go back to the head of the queue; records chained before them must be written. */
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

  async #sync(): Promise<void> {
    const taken = this.#tickets.reached('taken');
    await this.#sinks.sync();
    this.#tickets.advance('durable', taken);
  }

  async #publish(checkpoints: Checkpoints): Promise<void> {
    await this.#sync();
    await checkpoints.publish();
    this.#tickets.settle();
  }

  #fail(cause: unknown): void {
    const error = auditFailed('the audit log cannot be written', cause);
    this.#failure = { error, code: systemCode(cause) };
    this.#failedAtMs = this.#monotonicMs();
    this.#tickets.rejectAll(error);
  }

  /** The sinks write their backlog; then the log records the failure. */
  async #recover(): Promise<void> {
    await this.#sync();
    const code = this.#failure?.code ?? null;
    const unrecordedEvents = this.#unrecordedEvents;
    const unrecordedReleases = this.#unrecordedReleases;
    this.#failure = null;
    this.#unrecordedEvents = 0;
    this.#unrecordedReleases = 0;
    const recovered = this.#entries.ofLog('audit.recovered', () =>
      recoveredData({ reason: 'write-failure', errorCode: code, unrecordedEvents, unrecordedReleases }),
    );
    // Ahead of what is queued: its place is where the gap was.
    this.#queue.unshift(recovered);
    this.#tickets.issueFirst();
    this.#checkpoints?.moveRequest();
  }
}
