import { checkOptions, type ErrorCode, type OptionKeys, parseTraceparent } from '../base/index.js';
import type { Observer, OperationEvent } from '../events/index.js';
import { version } from '../generated/version.js';
import { describe, isSilent } from './catalogue.js';
import { createRedactor, type Redactor } from './redact.js';
import { bounded } from './sentence.js';
import type { Narration, NarrationSink } from './types.js';

const OPTION_KEYS = { sinks: true, storybook: true, token: true } satisfies OptionKeys<NarrationOptions>;
const EMITTED_BY = `vram-residency@${version}`;
/** How many flips of one drill are narrated. */
const FLIPS_NARRATED = 8;

/** Options of narrationObserver(). */
export interface NarrationOptions {
  readonly sinks: readonly NarrationSink[];
  /** Also emit the playful sentence. */
  readonly storybook?: boolean | undefined;
  /** The worker token, removed from every field in any written form. Only fingerprints of it are kept. */
  readonly token?: Uint8Array | undefined;
}

/** Narrates each event once, in order. A failing sink is ignored: narration never makes an operation fail. */
export function narrationObserver(options: NarrationOptions): Observer {
  checkOptions('options', options, OPTION_KEYS);
  const redactor = createRedactor(options.token);
  const reported = new ReportedFailures();
  const drills = new Map<string, number>();
  return {
    name: 'narration',
    required: false,
    on(event: OperationEvent): void {
      if (reported.already(event) || isOneOfMany(event, drills)) return;
      const narration = narrate(event, redactor, options.storybook === true);
      reported.note(event);
      if (narration === null) return;
      for (const sink of options.sinks) emitSafely(sink, narration);
    },
  };
}

/** Failures of running operations that a specific event has reported. The operation's end reports the others. */
class ReportedFailures {
  readonly #codes = new Map<string, Set<ErrorCode>>();

  note(event: OperationEvent): void {
    if (event.type === 'operation.finished') return;
    const code = reportedFailure(event);
    if (code === null) return;
    const codes = this.#codes.get(event.operationId) ?? new Set();
    this.#codes.set(event.operationId, codes.add(code));
  }

  /**
   * Whether this general event repeats a failure that a specific one has reported. Forgets the operation when it ends.
   */
  already(event: OperationEvent): boolean {
    const codes = this.#codes.get(event.operationId);
    if (event.type === 'operation.finished') this.#codes.delete(event.operationId);
    else if (event.type !== 'validation.failed') return false;
    return event.error !== null && codes?.has(event.error.code) === true;
  }
}

/** The code of the operation's failure that this event reports, or null. */
function reportedFailure(event: OperationEvent): ErrorCode | null {
  if (event.type === 'policy.violation') return 'POLICY_VIOLATION';
  // Only a release fails with RELEASE_FAILED. In other operations memory is freed after another failure, which has yet to
  // be reported.
  if (event.type === 'vram.deallocated') return event.error === null ? null : 'RELEASE_FAILED';
  return 'error' in event && event.error !== null ? event.error.code : null;
}

/** A drill may flip thousands of bits, all recorded in the audit log: only the first few are narrated. */
function isOneOfMany(event: OperationEvent, drills: Map<string, number>): boolean {
  if (event.type === 'operation.finished') drills.delete(event.operationId);
  if (event.type !== 'drill.injected') return false;
  const count = (drills.get(event.operationId) ?? 0) + 1;
  drills.set(event.operationId, count);
  return count > FLIPS_NARRATED;
}

function emitSafely(sink: NarrationSink, narration: Narration): void {
  try {
    sink.tell(narration);
  } catch {
    // The operation has happened regardless of its narration, and a failing sink cannot receive an error report.
  }
}

/** The narration of one event; null for events that only carry timing. */
export function narrate(event: OperationEvent, redactor: Redactor, storybook: boolean): Narration | null {
  if (isSilent(event)) return null;
  // Redact before sentences shorten names: half a secret would no longer be recognised.
  const clean = cleaned(event, redactor);
  const described = describe(clean);
  if (described === null) return null;
  const trace = parseTraceparent(event.traceparent);
  const error = 'error' in event ? event.error : null;
  return {
    level: described.level,
    actor: described.actor,
    action: described.action,
    target: described.target,
    human: bounded(redactor.redact(described.human)),
    ...(storybook ? { storybook: bounded(redactor.redact(described.storybook)) } : {}),
    workerId: clean.workerId,
    correlationId: clean.correlationId,
    device: clean.device?.id ?? null,
    modelRef: clean.modelRef,
    durationMs: event.durationMs,
    errorKind: error?.code ?? null,
    retriable: error === null ? null : error.kind === 'retriable',
    emittedBy: EMITTED_BY,
    emittedAt: event.at,
    traceId: trace?.traceId ?? null,
    spanId: trace?.spanId ?? null,
  };
}

/** Fields that the library writes itself, in forms that cannot hold a caller's text. */
const OWN_FIELDS: ReadonlySet<string> = new Set([
  'type',
  'operation',
  'operationId',
  'at',
  'traceparent',
  'code',
  'kind',
  'sealId',
  'sha256',
  'fsverity',
  'expectedDigest',
  'actualDigest',
  'sealedAt',
]);

/** The same event with its text redacted. */
function cleaned(event: OperationEvent, redactor: Redactor): OperationEvent {
  const clean = (value: unknown): unknown => {
    if (typeof value === 'string') return redactor.redact(value);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(
      Object.entries(value).map(([name, inner]) => [name, OWN_FIELDS.has(name) ? inner : clean(inner)]),
    );
  };
  // The walk replaces strings by strings and keeps everything else, which the compiler cannot see.
  return clean(event) as OperationEvent;
}
