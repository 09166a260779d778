import type { FailureView, ServiceErrorCode, WorkerErrorCode } from '../../api-schema/index.js';
import { type ErrorCode, isVramError, VramError } from '../../base/index.js';

/** An error of the service itself; the library's own errors remain VramErrors. */
export class ServiceError extends Error {
  override readonly name = 'ServiceError';
  readonly code: ServiceErrorCode | ErrorCode;
  readonly retryAfterMs: number | null;
  /** An HTTP status that differs from the code's own. */
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

/** The message that callers may see. For an error that is neither the library's nor the service's, only that it happened. */
export function failureOf(error: unknown): FailureView {
  if (error instanceof ServiceError) return { code: error.code, detail: error.message };
  if (isVramError(error)) return { code: error.code, detail: error.message };
  return { code: INTERNAL, detail: 'the worker failed unexpectedly; its log has the details' };
}

/** An internal fault has no code: a repeated request may succeed. */
const INTERNAL: WorkerErrorCode = 'DEVICE_UNAVAILABLE';

export function notFound(name: string): VramError {
  return new VramError(
    'NOT_FOUND',
    `there is no model ${JSON.stringify(name)}; GET /v1/models lists the models`,
  );
}
