import type { FailureView, ServiceErrorCode, WorkerErrorCode } from '../../api-schema/index.js';
import { type ErrorCode, isVramError, VramError } from '../../base/index.js';

/** An error of the service itself; what the library throws stays a VramError. */
export class ServiceError extends Error {
  override readonly name = 'ServiceError';
  readonly code: ServiceErrorCode | ErrorCode;
  readonly retryAfterMs: number | null;
  /** Answers another HTTP status than the code's own. */
  readonly status: number | null;

  constructor(
    code: ServiceErrorCode | ErrorCode,
    message: string,
    details: { readonly retryAfterMs?: number; readonly status?: number; readonly cause?: unknown } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.retryAfterMs = details.retryAfterMs ?? null;
    this.status = details.status ?? null;
  }
}

/** What may be said of an error. Of one that is neither the library's nor the service's, only that it happened. */
export function failureOf(error: unknown): FailureView {
  if (error instanceof ServiceError) return { code: error.code, detail: error.message };
  if (isVramError(error)) return { code: error.code, detail: error.message };
  return { code: INTERNAL, detail: 'the worker failed in a way that it did not foresee; its log has more' };
}

/** A fault of the service has no code: a repeated request may succeed. */
const INTERNAL: WorkerErrorCode = 'DEVICE_UNAVAILABLE';

export function notFound(name: string): VramError {
  return new VramError(
    'NOT_FOUND',
    `there is no model ${JSON.stringify(name)} here; GET /v1/models lists them`,
  );
}
