import { ERROR_ANSWERS, type Problem, type WorkerErrorCode } from '../api-schema/index.js';

/** What a worker tells of an error. */
export interface WorkerErrorDetails {
  /** Of the HTTP answer; null where there was none. */
  readonly status?: number | null;
  readonly retriable?: boolean;
  readonly retryAfterMs?: number | null;
  readonly argument?: string | null;
  readonly cause?: unknown;
}

/**
 * What a worker refused, or that it could not be asked. Programs branch on `code`: the library's own and the service's.
 * WORKER_LOST: nobody answers, the connection dropped, or another run of the worker answers than before. DEADLINE_UNMET: no
 * whole answer in time. DEVICE_UNAVAILABLE: what answers is not a worker.
 */
export class WorkerError extends Error {
  override readonly name = 'WorkerError';
  readonly code: WorkerErrorCode;
  readonly status: number | null;
  /** The same call may succeed later. */
  readonly retriable: boolean;
  /** Milliseconds to wait first; null where nothing is known. */
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
