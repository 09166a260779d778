import type {
  Attested,
  Committed,
  Drilled,
  ExecutionView,
  GuardList,
  GuardView,
  ModelList,
  ModelOutcome,
  ModelView,
  Plan,
  Problem,
  WorkerEvent,
  WorkerStatus,
} from '../../api-schema/index.js';
import { z } from '../packages/index.js';

// Each schema is typed by its message: a schema that differs does not compile.
const bytes = z.int().min(0);
const failure = z.object({ code: z.string(), detail: z.string() }).nullable();
const progress = z.object({ bytes, totalBytes: bytes }).nullable();
const part = z.object({ index: z.int(), of: z.int() }).nullable();

type Loose<T> = { readonly [K in keyof T]: unknown };

export const problem = z
  .object({
    type: z.literal('about:blank'),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.string(),
    retriable: z.boolean(),
    retryAfterMs: z.number().nullable(),
    argument: z.string().nullable(),
  })
  .openapi('Problem') satisfies z.ZodType<Loose<Problem>>;

export const plan = z
  .object({
    feasible: z.boolean(),
    reason: z.string().nullable(),
    bytes,
    shards: z.int(),
    reservationId: z.string().nullable(),
    expiresInMs: z.number().nullable(),
    instance: z.string(),
  })
  .openapi('Plan') satisfies z.ZodType<Loose<Plan>>;

export const committed = z
  .object({ name: z.string(), generation: z.int(), instance: z.string(), events: z.string() })
  .openapi('Committed') satisfies z.ZodType<Loose<Committed>>;

const shard = z.object({
  shardId: z.string(),
  sealId: z.string(),
  label: z.string(),
  byteLength: bytes,
  sha256: z.string().nullable(),
  fsverity: z.string(),
  sealedAt: z.string(),
  quarantined: z.boolean(),
  damaged: z.array(z.object({ firstBlock: z.int(), blocks: z.int() })),
  lastVerifiedAt: z.string().nullable(),
  lastScrubbedAt: z.string().nullable(),
});

export const model = z
  .object({
    name: z.string(),
    generation: z.int(),
    state: z.enum(['loading', 'ready', 'damaged', 'failed', 'releasing']),
    byteLength: bytes,
    layout: z.enum(['files', 'tensors']),
    shared: z.boolean(),
    part,
    shards: z.array(shard),
    progress,
    failure,
    next: z.object({ generation: z.int(), progress, failure }).nullable(),
  })
  .openapi('Model') satisfies z.ZodType<Loose<ModelView>>;

export const modelList = z.object({ models: z.array(model) }).openapi('ModelList') satisfies z.ZodType<
  Loose<ModelList>
>;

export const outcome = z
  .object({
    name: z.string(),
    generation: z.int(),
    ok: z.boolean(),
    shards: z.array(
      z.object({
        shardId: z.string(),
        label: z.string(),
        ok: z.boolean(),
        fsverity: z.string().nullable(),
        durationMs: z.number().nullable(),
        blocks: z.int(),
        failure,
      }),
    ),
  })
  .openapi('Outcome') satisfies z.ZodType<Loose<ModelOutcome>>;

export const attested = z
  .object({ name: z.string(), generation: z.int(), attestations: z.array(z.unknown()) })
  .openapi('Attested') satisfies z.ZodType<Loose<Attested>>;

export const drilled = z
  .object({
    name: z.string(),
    generation: z.int(),
    shardId: z.string(),
    seed: z.int(),
    blocks: z.array(z.int()),
  })
  .openapi('Drilled') satisfies z.ZodType<Loose<Drilled>>;

export const status = z
  .object({
    version: z.string(),
    workerId: z.string(),
    instance: z.string(),
    state: z.enum(['starting', 'empty', 'ready', 'draining', 'stopped', 'lost', 'failed']),
    reason: z.string().nullable(),
    startedAt: z.string(),
    device: z.object({
      id: z.string(),
      name: z.string(),
      uuid: z.string().nullable(),
      residency: z.string(),
      residencyReason: z.string(),
      execution: z.string(),
    }),
    policy: z.string(),
    capacity: z.object({
      totalBytes: bytes.nullable(),
      usedBytes: bytes,
      scratchBytes: bytes,
      availableBytes: bytes.nullable(),
      reservedBytes: bytes,
    }),
    reservations: z.int(),
    executions: z.object({ queued: z.int(), running: z.int() }),
    share: z.object({ models: z.array(z.string()), leases: z.int() }).nullable(),
    lastEventId: z.int(),
    models: z.array(model),
  })
  .openapi('Status') satisfies z.ZodType<Loose<WorkerStatus>>;

export const event = z
  .object({
    id: z.int(),
    at: z.string(),
    type: z.string(),
    model: z.string().nullable(),
    generation: z.int().nullable(),
    shardId: z.string().nullable(),
    data: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
  })
  .openapi('Event') satisfies z.ZodType<Loose<WorkerEvent>>;

/** The events of an execution; `data` depends on `type`. */
const terminal = z.object({
  id: z.int(),
  at: z.string(),
  type: z.enum(['end', 'error']),
  data: z.record(z.string(), z.unknown()),
});

export const execution = z
  .object({
    executionId: z.string(),
    instance: z.string(),
    mode: z.enum(['onnx', 'engine']),
    model: z.string(),
    state: z.enum(['queued', 'running', 'ended']),
    acceptedAt: z.string(),
    startedAt: z.string().nullable(),
    endedAt: z.string().nullable(),
    weights: z.enum(['sealed', 'leased', 'guarded']).nullable(),
    terminal: terminal.nullable(),
    lastEventId: z.int(),
    events: z.string(),
  })
  .openapi('Execution') satisfies z.ZodType<Loose<ExecutionView>>;

const report = z.object({
  v: z.literal(1),
  type: z.literal('guard.report'),
  operation: z.string(),
  outcome: z.string(),
  against: z.string(),
  tensors: z.int(),
  byte_length: bytes,
  damaged_blocks: z.int(),
  elapsed_ms: z.number(),
  message: z.string().nullable(),
  at: z.string(),
});

export const guard = z
  .object({
    guardId: z.string(),
    model: z.string(),
    pid: z.int(),
    uid: z.int(),
    client: z.string(),
    tensors: z.int(),
    byteLength: bytes,
    manifestSha256: z.string(),
    registeredAt: z.string(),
    lastReport: report.nullable(),
    lastReportAt: z.string().nullable(),
    reports: z.int(),
  })
  .openapi('Guard') satisfies z.ZodType<Loose<GuardView>>;

export const guardList = z.object({ guards: z.array(guard) }).openapi('GuardList') satisfies z.ZodType<
  Loose<GuardList>
>;
