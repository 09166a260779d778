import { ERROR_ANSWERS, type Problem, type WorkerErrorCode } from '../../api-schema/index.js';
import { isVramError } from '../../base/index.js';
import { failureOf, ServiceError } from '../common/index.js';

const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad request',
  401: 'Not authenticated',
  403: 'Forbidden',
  404: 'Not found',
  405: 'Method not allowed',
  409: 'Conflict',
  410: 'Gone',
  412: 'Precondition failed',
  413: 'Too large',
  415: 'Unsupported media type',
  421: 'Misdirected request',
  422: 'Unprocessable',
  429: 'Too many requests',
  500: 'Internal error',
  503: 'Not available',
  504: 'Timed out',
  507: 'Not enough device memory',
};

export interface ProblemDetails {
  /** A status that differs from the code's own. */
  readonly status?: number | undefined;
  readonly argument?: string | null | undefined;
  readonly retryAfterMs?: number | null | undefined;
}

export function problem(code: WorkerErrorCode, detail: string, details: ProblemDetails = {}): Problem {
  const answer = ERROR_ANSWERS[code];
  const status = details.status ?? answer.status;
  return {
    type: 'about:blank',
    title: TITLES[status] ?? 'Error',
    status,
    detail,
    code,
    retriable: answer.retriable,
    retryAfterMs: details.retryAfterMs ?? null,
    argument: details.argument ?? null,
  };
}

/** An error of the library or of the service, whose message is safe to return. */
export function isForeseen(error: unknown): boolean {
  return error instanceof ServiceError || isVramError(error);
}

/** The whole answer to an unexpected error. */
export function problemOf(error: unknown): Problem {
  const { code, detail } = failureOf(error);
  if (error instanceof ServiceError) {
    return problem(code, detail, { status: error.status ?? undefined, retryAfterMs: error.retryAfterMs });
  }
  if (isVramError(error)) return problem(code, detail, { argument: error.argument });
  return problem(code, detail, { status: 500 });
}

export function problemResponse(body: Problem): Response {
  const headers = new Headers({ 'content-type': 'application/problem+json', 'cache-control': 'no-store' });
  if (body.retryAfterMs !== null) headers.set('retry-after', String(Math.ceil(body.retryAfterMs / 1000)));
  if (body.status === 401) headers.set('www-authenticate', 'Bearer realm="vram-residency"');
  return new Response(JSON.stringify(body), { status: body.status, headers });
}
