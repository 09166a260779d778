import type { ErrorCode } from '../base/index.js';

/** What the service alone can answer, beyond the library's own codes. */
export type ServiceErrorCode =
  | 'RESERVATION_EXPIRED'
  | 'STALE_EPOCH'
  | 'LOAD_STALLED'
  | 'QUEUE_FULL'
  | 'DEADLINE_UNMET'
  | 'AUTH_FAILED'
  | 'WORKER_LOST'
  | 'EVENTS_EXPIRED';

/** Stable from release to release: programs branch on these. */
export type WorkerErrorCode = ErrorCode | ServiceErrorCode;

/** How an error is answered over HTTP. */
export interface ErrorAnswer {
  readonly status: number;
  /** The same request may succeed later. */
  readonly retriable: boolean;
}

export const ERROR_ANSWERS: Readonly<Record<WorkerErrorCode, ErrorAnswer>> = {
  INVALID_INPUT: { status: 400, retriable: false },
  NOT_SEALED: { status: 400, retriable: false },
  NOT_FOUND: { status: 404, retriable: false },
  SEAL_VERIFICATION_FAILED: { status: 409, retriable: false },
  SOURCE_MISMATCH: { status: 422, retriable: false },
  STOPPED: { status: 503, retriable: false },
  ABORTED: { status: 409, retriable: false },
  INSUFFICIENT_VRAM: { status: 507, retriable: true },
  ALLOCATION_FAILED: { status: 507, retriable: true },
  DEVICE_UNAVAILABLE: { status: 503, retriable: true },
  AUDIT_FAILED: { status: 503, retriable: true },
  INTEGRITY_VIOLATION: { status: 409, retriable: false },
  WITNESS_FAILED: { status: 409, retriable: false },
  RELEASE_FAILED: { status: 500, retriable: false },
  DEVICE_LOST: { status: 503, retriable: false },
  POLICY_VIOLATION: { status: 403, retriable: false },
  AUDIT_CORRUPT: { status: 503, retriable: false },
  RESERVATION_EXPIRED: { status: 410, retriable: true },
  STALE_EPOCH: { status: 412, retriable: false },
  LOAD_STALLED: { status: 504, retriable: true },
  QUEUE_FULL: { status: 429, retriable: true },
  DEADLINE_UNMET: { status: 504, retriable: true },
  AUTH_FAILED: { status: 401, retriable: false },
  WORKER_LOST: { status: 503, retriable: true },
  EVENTS_EXPIRED: { status: 410, retriable: false },
};

/** The body of every answer that is an error: RFC 9457, `application/problem+json`. */
export interface Problem {
  readonly type: 'about:blank';
  readonly title: string;
  readonly status: number;
  /** One sentence: what was wrong, and what to do. */
  readonly detail: string;
  readonly code: WorkerErrorCode;
  readonly retriable: boolean;
  /** Milliseconds to wait first; null where nothing is known. */
  readonly retryAfterMs: number | null;
  /** The field of the request that was refused. */
  readonly argument: string | null;
}
