import type { ErrorCode } from '../../base/index.js';
import { type AuditData, type AuditedEvent, isTimestamp } from '../format/index.js';

/** How long refused handles share a record, ms. */
export const REFUSAL_MS = 1_000;

type Kind = 'forged' | 'malformed' | 'stale';

/** The codes that refuse a handle. Damage and transient faults have others. */
const KINDS: ReadonlyMap<ErrorCode, Kind> = new Map([
  ['SEAL_VERIFICATION_FAILED', 'forged'],
  ['NOT_SEALED', 'malformed'],
  ['NOT_FOUND', 'stale'],
  // Its device is lost, or its manager closed.
  ['DEVICE_LOST', 'stale'],
  ['STOPPED', 'stale'],
]);

/**
 * Limits the records of refused handles: anyone who reaches the worker could otherwise fill the disk with them. The first
 * one is recorded at once; those of each following second share one record with their count.
 */
export class RefusedHandles {
  /** An event that is emitted again, because the log failed, is the same. */
  readonly #known = new WeakSet<AuditedEvent>();
  #sharing = false;
  /** Whether a handle was refused in the current second. */
  #busy = false;
  #counts: Record<Kind, number> = { forged: 0, malformed: 0, stale: 0 };
  #since: string | null = null;
  #until: string | null = null;

  /** True if the event is counted for a shared record; false if it gets its own. */
  takes(event: AuditedEvent): boolean {
    const kind = kindOf(event);
    if (kind === null) return false;
    if (this.#known.has(event)) return true;
    if (!this.#sharing) {
      this.#sharing = true;
      return false;
    }
    this.#known.add(event);
    this.#busy = true;
    const at = isTimestamp(event.at) ? event.at : null;
    if (this.#refused === 0) this.#since = at;
    this.#until = at;
    this.#counts[kind] += 1;
    return true;
  }

  /** From the first refused handle on, until a second has passed without one. */
  get sharing(): boolean {
    return this.#sharing;
  }

  /** The data of the record that those without one share, and counts anew; null where there are none. */
  take(): AuditData | null {
    const refused = this.#refused;
    if (refused === 0) return null;
    const data = { refused, ...this.#counts, since: this.#since, until: this.#until };
    this.#counts = { forged: 0, malformed: 0, stale: 0 };
    return data;
  }

  /** Ends a second. After one without a refused handle the next has a record of its own again. */
  endSecond(): void {
    this.#sharing = this.#busy || this.#refused > 0;
    this.#busy = false;
  }

  get #refused(): number {
    const { forged, malformed, stale } = this.#counts;
    return forged + malformed + stale;
  }
}

function kindOf(event: AuditedEvent): Kind | null {
  return event.type === 'seal.verification_failed' ? (KINDS.get(event.error.code) ?? null) : null;
}
