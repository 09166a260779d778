import type { Observer, OperationEvent } from '../events.js';
import { version } from '../generated/version.js';
import { tell } from './catalogue.js';
import { createRedactor, type Redactor } from './redact.js';
import type { Narration, NarrationSink } from './types.js';

/** The longest sentence, in UTF-16 units. */
const MAX_SENTENCE = 160;
const EMITTED_BY = `vram-residency@${version}`;
const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}/;

export interface NarrationOptions {
  readonly sinks: readonly NarrationSink[];
  /** Also tell the playful sentence. */
  readonly storybook?: boolean;
  /** The worker token: taken out of every field in any written form. Only fingerprints of it are kept. */
  readonly token?: Uint8Array;
}

/** Tells each event in a sentence, once, in order. A sink that fails is left alone: narration never makes an operation fail. */
export function narrationObserver(options: NarrationOptions): Observer {
  const redactor = createRedactor(options.token);
  /** Operations whose failure an event of their own has told. */
  const failuresTold = new Set<string>();
  return {
    name: 'narration',
    required: false,
    on(event: OperationEvent): void {
      if (event.type === 'operation.finished') {
        const alreadyTold = failuresTold.delete(event.operationId);
        if (alreadyTold || event.ok) return;
      } else if ('error' in event && event.error !== null) {
        failuresTold.add(event.operationId);
      } else if (event.type === 'policy.violation') {
        failuresTold.add(event.operationId);
      }
      const narration = narrate(event, redactor, options.storybook === true);
      if (narration === null) return;
      for (const sink of options.sinks) tellSafely(sink, narration);
    },
  };
}

function tellSafely(sink: NarrationSink, narration: Narration): void {
  try {
    sink.tell(narration);
  } catch {
    // The operation that is being told of has happened all the same, and the sink is where a complaint would have gone.
  }
}

/** The narration of one event; null for events that are timing alone. */
export function narrate(event: OperationEvent, redactor: Redactor, storybook: boolean): Narration | null {
  const told = tell(event);
  if (told === null) return null;
  const clean = (text: string): string => redactor.redact(text);
  const cleanOrNull = (text: string | null): string | null => (text === null ? null : clean(text));
  const trace = event.traceparent === null ? null : TRACEPARENT.exec(event.traceparent);
  const error = 'error' in event ? event.error : null;
  return {
    level: told.level,
    actor: told.actor,
    action: told.action,
    target: clean(told.target),
    human: shorten(clean(told.human)),
    ...(storybook ? { storybook: shorten(clean(told.storybook)) } : {}),
    workerId: clean(event.workerId),
    correlationId: clean(event.correlationId),
    device: cleanOrNull(event.device?.id ?? null),
    modelRef: cleanOrNull(event.modelRef),
    durationMs: event.durationMs,
    errorKind: error?.code ?? null,
    retriable: error === null ? null : error.kind === 'retriable',
    emittedBy: EMITTED_BY,
    emittedAt: event.at,
    traceId: trace?.[1] ?? null,
    spanId: trace?.[2] ?? null,
  };
}

/** Cuts a sentence to its bound, between code points; two full stops become one. */
function shorten(sentence: string): string {
  const text = sentence.replaceAll('..', '.');
  if (text.length <= MAX_SENTENCE) return text;
  let end = MAX_SENTENCE - 1;
  const last = text.charCodeAt(end - 1);
  if (last >= 0xd800 && last <= 0xdbff) end -= 1;
  return `${text.slice(0, end)}…`;
}
