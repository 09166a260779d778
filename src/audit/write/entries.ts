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

/** What waits in the queue of a log. Its record is drafted when its turn comes. */
export interface Entry {
  readonly draft: () => RecordDraft;
  /** Whoever emitted it waits until it is on stable storage. */
  readonly critical: boolean;
}

/** Makes entries of events, and of what a log says of itself. */
export class EntryMaker {
  readonly #clean: Clean;
  readonly #now: () => Date;

  /** `clean` takes the worker's token out of texts. */
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
