import { type ErrorCode, isVramError } from '../base/index.js';

/** Exit codes of the command line: a contract. */
export const EXIT = {
  ok: 0,
  verification: 1,
  usage: 2,
  policy: 3,
  insufficient: 4,
  device: 5,
  audit: 6,
  internal: 70,
  /** 128 and the number of the signal: SIGHUP, SIGINT, SIGTERM. */
  hungUp: 129,
  interrupted: 130,
  terminated: 143,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

const OF_ERROR: Readonly<Record<ErrorCode, ExitCode>> = {
  INVALID_INPUT: EXIT.usage,
  NOT_SEALED: EXIT.verification,
  NOT_FOUND: EXIT.usage,
  SEAL_VERIFICATION_FAILED: EXIT.verification,
  SOURCE_MISMATCH: EXIT.verification,
  STOPPED: EXIT.verification,
  ABORTED: EXIT.interrupted,
  INSUFFICIENT_VRAM: EXIT.insufficient,
  ALLOCATION_FAILED: EXIT.device,
  DEVICE_UNAVAILABLE: EXIT.device,
  AUDIT_FAILED: EXIT.audit,
  INTEGRITY_VIOLATION: EXIT.verification,
  WITNESS_FAILED: EXIT.verification,
  RELEASE_FAILED: EXIT.device,
  DEVICE_LOST: EXIT.device,
  POLICY_VIOLATION: EXIT.policy,
  AUDIT_CORRUPT: EXIT.audit,
};

/** Whether a code is one of the library's own; a worker's service has others. */
export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(OF_ERROR, code);
}

export function exitCodeOf(error: unknown): ExitCode {
  return isVramError(error) ? OF_ERROR[error.code] : EXIT.internal;
}

/** Gravest first; an interruption or a crash outranks every finding, because the work was not finished. */
const PRECEDENCE: readonly ExitCode[] = [
  EXIT.internal,
  EXIT.terminated,
  EXIT.hungUp,
  EXIT.interrupted,
  EXIT.verification,
  EXIT.audit,
  EXIT.policy,
  EXIT.device,
  EXIT.insufficient,
  EXIT.usage,
  EXIT.ok,
];

/** The one code for several outcomes. */
export function combineExitCodes(codes: readonly ExitCode[]): ExitCode {
  return PRECEDENCE.find((code) => codes.includes(code)) ?? EXIT.ok;
}

/**
 * The same for a run that `stopped` may have ended: what was given up then counts as that, and what was found before counts
 * on.
 */
export function concludingCode(codes: readonly ExitCode[], stopped: ExitCode | null): ExitCode {
  if (stopped === null) return combineExitCodes(codes);
  return combineExitCodes([...codes.filter((code) => code !== EXIT.interrupted), stopped]);
}
