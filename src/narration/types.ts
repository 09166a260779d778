import type { ErrorCode } from '../base/index.js';

/** How grave it is. */
export type NarrationLevel = 'info' | 'warn' | 'error';

/** One event, described for people and for machines. No secret, address or weight byte, whatever callers passed. */
export interface Narration {
  readonly level: NarrationLevel;
  /** The actor: `manager`, `device`, `policy`. */
  readonly actor: string;
  /** What was done: a name from the catalogue. */
  readonly action: string;
  /** To what: a shard, device or argument. */
  readonly target: string;
  /** One sentence, at most 160 characters. */
  readonly human: string;
  /** A second, playful sentence, where asked for. */
  readonly storybook?: string;
  readonly workerId: string;
  readonly correlationId: string;
  readonly device: string | null;
  readonly modelRef: string | null;
  /** Measured around the work by the monotonic clock; null where nothing was timed. */
  readonly durationMs: number | null;
  readonly errorKind: ErrorCode | null;
  /** Whether trying again may help; null where nothing failed. */
  readonly retriable: boolean | null;
  /** name@version */
  readonly emittedBy: string;
  /** RFC 3339, UTC, milliseconds. */
  readonly emittedAt: string;
  /** From the W3C trace context of the operation; null where there was none. */
  readonly traceId: string | null;
  readonly spanId: string | null;
}

/** The destination of narrations. */
export interface NarrationSink {
  /** Takes a narration. What it throws is dropped. */
  tell(narration: Narration): void;
}
