import { parseTraceparent } from '../../base/index.js';
import {
  AUDIT_CATALOGUE,
  type AuditData,
  type AuditedEvent,
  auditData,
  type Clean,
  isTimestamp,
  type LogEventType,
  text,
} from '../format/index.js';
import type { RecordDraft } from './chain.js';

/** An entry of a log's queue. Its record is drafted at its turn. */
export interface Entry {
  readonly draft: () => RecordDraft;
  /** The emitter waits until it is on stable storage. */
  readonly critical: boolean;
}

/** Makes entries from events and from the log's own records. */
export class EntryMaker {
  readonly #clean: Clean;
  readonly #now: () => Date;

  /** `clean` removes the worker's token from texts. */
  constructor(clean: Clean, now: () => Date) {
    this.#clean = clean;
    this.#now = now;
  }

  ofEvent(event: AuditedEvent): Entry {
    const { severity } = AUDIT_CATALOGUE[event.type];
    return { critical: severity === 'CRITICAL', draft: () => this.#draftOf(event) };
  }

  ofLog(type: LogEventType, data: () => AuditData): Entry {
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

/** The data of `audit.recovered`; absent values did not happen. */
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
