import type { ErrorCode } from '../base/index.js';

/** Severity of a narration. */
export type NarrationLevel = 'info' | 'warn' | 'error';

/** One event, described for people and machines. It holds no secret, address or weight byte, whatever callers passed. */
export interface Narration {
  readonly level: NarrationLevel;
  /** The actor: `manager`, `device`, `policy`. */
  readonly actor: string;
  /** What was done: a name from the catalogue. */
  readonly action: string;
  /** What it was done to: a shard, device or argument. */
  readonly target: string;
  /** One sentence, at most 160 characters. */
  readonly human: string;
  /** A second, playful sentence, if the option `storybook` is set. */
  readonly storybook?: string;
  readonly workerId: string;
  readonly correlationId: string;
  readonly device: string | null;
  readonly modelRef: string | null;
  /** Milliseconds, measured by the monotonic clock; null if nothing was timed. */
  readonly durationMs: number | null;
  readonly errorKind: ErrorCode | null;
  /** Whether a retry may help; null if nothing failed. */
  readonly retriable: boolean | null;
  /** name@version */
  readonly emittedBy: string;
  /** RFC 3339, UTC, milliseconds. */
  readonly emittedAt: string;
  /** From the W3C trace context of the operation; null if it had none. */
  readonly traceId: string | null;
  readonly spanId: string | null;
}

/** The destination of narrations. */
export interface NarrationSink {
  /** Receives a narration. Errors that it throws are ignored. */
  tell(narration: Narration): void;
}
