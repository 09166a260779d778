import { ERROR_CLASS, type ErrorCode, type ErrorKind, type FatalScope } from './error-codes.js';
import type { VerificationReport } from './reports.js';

/** What was found of a model's shards. */
export interface SetReport {
  readonly modelRef: string;
  /** All there, all verified; never true of samples. */
  readonly verified: boolean;
  /** Only samples were hashed. */
  readonly sampled: boolean;
  /** null if none of its shards belongs to a set. */
  readonly totalShards: number | null;
  /** Indexes that no live shard has, ascending. */
  readonly missing: readonly number[];
  readonly shards: readonly {
    readonly shardId: string;
    readonly shardIndex: number | null;
    readonly report: VerificationReport | null;
    readonly error: VramError | null;
  }[];
}

/** The fields of `Other` that `Own` lacks, declared absent, so that they can be read on both. */
type Without<Other, Own> = { readonly [Field in Exclude<keyof Other, keyof Own>]?: never };

/** An error's account of the damage: the report of verify(), or that of verifySet(), which alone has `shards`. */
export type ErrorReport =
  | (VerificationReport & Without<SetReport, VerificationReport>)
  | (SetReport & Without<VerificationReport, SetReport>);

/** Figures that help a caller decide; sizes in bytes. */
export interface ErrorDetails {
  readonly cause?: unknown;
  readonly neededBytes?: number | undefined;
  readonly availableBytes?: number | null | undefined;
  /** The argument that was refused (INVALID_INPUT). */
  readonly argument?: string | undefined;
  readonly report?: ErrorReport | undefined;
}

/**
 * The one error type of the library. Its message names the problem, the argument and the remedy; it never holds an
 * address, key, token or weight byte.
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
   * What verify() or verifySet() found: with INTEGRITY_VIOLATION for damaged bytes, DEVICE_UNAVAILABLE for a mismatch that
   * did not repeat, AUDIT_FAILED for a result that could not be recorded, NOT_FOUND for a set that is not whole.
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
    cause,
  });
}

/** Throws ABORTED if the caller's signal has fired. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) {
    throw new VramError('ABORTED', 'the operation was aborted by its signal', { cause: signal.reason });
  }
}
