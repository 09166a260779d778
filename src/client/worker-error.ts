import { ERROR_ANSWERS, type Problem, type WorkerErrorCode } from '../api-schema/index.js';

/** The worker's details of an error. */
export interface WorkerErrorDetails {
  /** HTTP status; null without an answer. */
  readonly status?: number | null;
  readonly retriable?: boolean;
  readonly retryAfterMs?: number | null;
  readonly argument?: string | null;
  readonly cause?: unknown;
}

/**
 * A worker refused a request or could not be reached. Programs branch on `code`: the library's codes and the service's.
 * WORKER_LOST: no answer, the connection dropped, or a different run of the worker answers. DEADLINE_UNMET: no complete
 * answer in time. DEVICE_UNAVAILABLE: the answer is not a worker's.
 */
export class WorkerError extends Error {
  override readonly name = 'WorkerError';
  readonly code: WorkerErrorCode;
  readonly status: number | null;
  /** The same call may succeed later. */
  readonly retriable: boolean;
  /** Milliseconds to wait before a retry; null if unknown. */
  readonly retryAfterMs: number | null;
  /** The field of the request that was refused. */
  readonly argument: string | null;

  constructor(code: WorkerErrorCode, message: string, details: WorkerErrorDetails = {}) {
    super(message, { cause: details.cause });
    this.code = code;
    this.status = details.status ?? null;
    this.retriable = details.retriable ?? ERROR_ANSWERS[code].retriable;
    this.retryAfterMs = details.retryAfterMs ?? null;
    this.argument = details.argument ?? null;
  }
}

/** The error of an answer; null if the answer is not a problem document. */
export function errorOfAnswer(value: unknown): WorkerError | null {
  if (!isProblem(value)) return null;
  const { code, detail, status, retriable, retryAfterMs, argument } = value;
  return new WorkerError(code, detail, { status, retriable, retryAfterMs, argument });
}

function isProblem(value: unknown): value is Problem {
  if (typeof value !== 'object' || value === null) return false;
  const { code, detail, status, retriable, retryAfterMs, argument } = value as Partial<
    Record<string, unknown>
  >;
  return (
    typeof code === 'string' &&
    Object.hasOwn(ERROR_ANSWERS, code) &&
    typeof detail === 'string' &&
    Number.isInteger(status) &&
    typeof retriable === 'boolean' &&
    (retryAfterMs === null || (typeof retryAfterMs === 'number' && retryAfterMs >= 0)) &&
    (argument === null || typeof argument === 'string')
  );
}
