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
  | 'WITNESS_FAILED'
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
  WITNESS_FAILED: { kind: 'fatal', scope: 'shard' },
  RELEASE_FAILED: { kind: 'fatal', scope: 'device' },
  DEVICE_LOST: { kind: 'fatal', scope: 'device' },
  POLICY_VIOLATION: { kind: 'fatal', scope: 'manager' },
  AUDIT_CORRUPT: { kind: 'fatal', scope: 'manager' },
};
