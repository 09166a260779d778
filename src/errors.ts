import type { ErrorReport } from './reports.js';

/** What a caller can do about an error: correct the call, try again, or give something up. */
export type ErrorKind = 'invalid' | 'retriable' | 'fatal';

/** What a fatal error takes with it. */
export type FatalScope = 'shard' | 'device' | 'manager';

/** Stable from release to release: programs branch on these. */
export type ErrorCode =
  | 'INVALID_INPUT'
  | 'NOT_SEALED'
  | 'NOT_FOUND'
  | 'SEAL_VERIFICATION_FAILED'
  | 'SOURCE_MISMATCH'
  | 'STOPPED'
  | 'ABORTED'
  | 'INSUFFICIENT_VRAM'
  | 'ALLOCATION_FAILED'
  | 'DEVICE_UNAVAILABLE'
  | 'AUDIT_FAILED'
  | 'INTEGRITY_VIOLATION'
  | 'RELEASE_FAILED'
  | 'DEVICE_LOST'
  | 'POLICY_VIOLATION'
  | 'AUDIT_CORRUPT';

/** The class of every code (WK-002). */
export const ERROR_CLASS: Readonly<
  Record<ErrorCode, { readonly kind: ErrorKind; readonly scope: FatalScope | null }>
> = {
  INVALID_INPUT: { kind: 'invalid', scope: null },
  NOT_SEALED: { kind: 'invalid', scope: null },
  NOT_FOUND: { kind: 'invalid', scope: null },
  SEAL_VERIFICATION_FAILED: { kind: 'invalid', scope: null },
  SOURCE_MISMATCH: { kind: 'invalid', scope: null },
  STOPPED: { kind: 'invalid', scope: null },
  ABORTED: { kind: 'invalid', scope: null },
  INSUFFICIENT_VRAM: { kind: 'retriable', scope: null },
  ALLOCATION_FAILED: { kind: 'retriable', scope: null },
  DEVICE_UNAVAILABLE: { kind: 'retriable', scope: null },
  AUDIT_FAILED: { kind: 'retriable', scope: null },
  INTEGRITY_VIOLATION: { kind: 'fatal', scope: 'shard' },
  RELEASE_FAILED: { kind: 'fatal', scope: 'device' },
  DEVICE_LOST: { kind: 'fatal', scope: 'device' },
  POLICY_VIOLATION: { kind: 'fatal', scope: 'manager' },
  AUDIT_CORRUPT: { kind: 'fatal', scope: 'manager' },
};

/** Figures that help a caller decide; sizes in bytes. */
export interface ErrorDetails {
  readonly cause?: unknown;
  readonly neededBytes?: number;
  readonly availableBytes?: number | null;
  /** The argument that was refused (INVALID_INPUT). */
  readonly argument?: string;
  readonly report?: ErrorReport;
}

/**
 * The one error type of the library. Its message says what was wrong, with which argument, and what to do;
 * it never holds an address, key, token or weight byte.
 */
export class VramError extends Error {
  override readonly name = 'VramError';
  readonly code: ErrorCode;
  readonly kind: ErrorKind;
  readonly scope: FatalScope | null;
  readonly neededBytes: number | undefined;
  readonly availableBytes: number | null | undefined;
  readonly argument: string | undefined;
  /**
   * What verify() or verifySet() found: with INTEGRITY_VIOLATION for damaged bytes, DEVICE_UNAVAILABLE for a mismatch that did not repeat, AUDIT_FAILED for a
   * result that could not be recorded, NOT_FOUND for a set that is not whole.
   */
  readonly report: ErrorReport | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.kind = ERROR_CLASS[code].kind;
    this.scope = ERROR_CLASS[code].scope;
    this.neededBytes = details.neededBytes;
    this.availableBytes = details.availableBytes;
    this.argument = details.argument;
    this.report = details.report;
  }
}

/** True for a VramError, with that code if one is given. */
export function isVramError(error: unknown, code?: ErrorCode): error is VramError {
  return error instanceof VramError && (code === undefined || error.code === code);
}

/** INVALID_INPUT for one named argument. */
export function invalidInput(argument: string, problem: string, cause?: unknown): VramError {
  return new VramError('INVALID_INPUT', `"${argument}" ${problem}`, {
    argument,
    ...(cause === undefined ? {} : { cause }),
  });
}

/** Throws ABORTED if the caller's signal has fired. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) {
    throw new VramError('ABORTED', 'the operation was aborted by its signal', { cause: signal.reason });
  }
}
