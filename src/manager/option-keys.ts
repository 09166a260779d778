import type { OptionKeys } from '../validate.js';
import type { AttestOptions } from './attest.js';
import type { DrillOptions } from './drill.js';
import type { ExecuteOptions } from './execute.js';
import type { TraceOptions } from './operation.js';
import type { ScrubOptions } from './scrub.js';
import type { ManagerOptions, OperationOptions, SealOptions, VerifyOptions } from './types.js';

// What each method takes. An option that is added to an interface, or taken from it, does not compile until it is so here too.

export const TRACE_KEYS = { correlationId: true, traceparent: true } satisfies OptionKeys<TraceOptions>;

export const OPERATION_KEYS = {
  ...TRACE_KEYS,
  signal: true,
  onProgress: true,
} satisfies OptionKeys<OperationOptions>;

export const MANAGER_KEYS = {
  ...TRACE_KEYS,
  device: true,
  workerId: true,
  token: true,
  policy: true,
  budgetBytes: true,
  maxShardBytes: true,
  observers: true,
  onVerificationFailure: true,
  keep: true,
  drills: true,
  attestationKey: true,
  auditHead: true,
  windowBytes: true,
  clock: true,
  engine: true,
} satisfies OptionKeys<ManagerOptions>;

export const SEAL_KEYS = {
  ...OPERATION_KEYS,
  shardId: true,
  expected: true,
  digests: true,
  modelRef: true,
  shardIndex: true,
  totalShards: true,
  reopen: true,
} satisfies OptionKeys<SealOptions>;

export const VERIFY_KEYS = {
  ...OPERATION_KEYS,
  mode: true,
  groups: true,
  source: true,
} satisfies OptionKeys<VerifyOptions>;

export const EXECUTE_KEYS = {
  ...TRACE_KEYS,
  maxAgeMs: true,
  recheck: true,
  tensor: true,
  signal: true,
} satisfies OptionKeys<ExecuteOptions>;

export const SCRUB_KEYS = {
  intervalMs: true,
  bytesPerSecond: true,
  heal: true,
} satisfies OptionKeys<ScrubOptions>;

export const ATTEST_KEYS = { ...OPERATION_KEYS, nonce: true } satisfies OptionKeys<AttestOptions>;

export const DRILL_KEYS = {
  ...TRACE_KEYS,
  flips: true,
  seed: true,
  patterns: true,
  area: true,
  signal: true,
} satisfies OptionKeys<DrillOptions>;
