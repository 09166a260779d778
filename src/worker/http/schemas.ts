import type {
  AttestRequest,
  CommitRequest,
  DrainRequest,
  DrillRequest,
  ExecuteRequest,
  GuardReport,
  GuardRequest,
  ModelOrigin,
  ModelPart,
  PlanRequest,
  TensorData,
} from '../../api-schema/index.js';
import { MAX_TIMER_MS } from '../../base/index.js';
import { z } from '../packages/index.js';

/** Longest path or URL, in UTF-16 units. */
const MAX_ORIGIN = 4_096;
const MAX_FILES = 1_024;
const MAX_DIGEST = 256;
const MAX_LABEL = 1_024;
const MAX_GUARD_AXES = 64;
/** Linux's. */
const MAX_PID = 4_194_304;

const origin = z.union([
  z.strictObject({ path: z.string().min(1).max(MAX_ORIGIN) }),
  z.strictObject({ url: z.string().min(1).max(MAX_ORIGIN) }),
]) satisfies z.ZodType<ModelOrigin>;

const part = z.strictObject({
  index: z.int().min(0),
  of: z.int().min(1).max(MAX_FILES),
}) satisfies z.ZodType<ModelPart>;

export const planRequest = z
  .strictObject({
    model: origin.optional(),
    byteLength: z.int().min(1).optional(),
  })
  .openapi('PlanRequest') satisfies z.ZodType<PlanRequest>;

const commitOptions = {
  name: z.string().min(1).max(128),
  expected: z.array(z.string().max(MAX_DIGEST)).max(MAX_FILES).optional(),
  hashing: z.enum(['host', 'device']).optional(),
  format: z.enum(['auto', 'safetensors', 'gguf', 'onnx', 'raw']).optional(),
  part: part.optional(),
  layout: z.enum(['files', 'tensors']).optional(),
  share: z.boolean().optional(),
  reservationId: z.string().max(64).optional(),
};

export const commitRequest = z
  .union([
    z.strictObject({ path: z.string().min(1).max(MAX_ORIGIN), ...commitOptions }),
    z.strictObject({ url: z.string().min(1).max(MAX_ORIGIN), ...commitOptions }),
  ])
  .openapi('CommitRequest') satisfies z.ZodType<CommitRequest>;

export const attestRequest = z
  .strictObject({ nonce: z.string().regex(/^(?:[0-9a-fA-F]{2}){16,64}$/) })
  .openapi('AttestRequest') satisfies z.ZodType<AttestRequest>;

export const drillRequest = z
  .strictObject({
    shard: z.int().min(0).max(MAX_FILES).optional(),
    flips: z.int().min(1).max(1_024).optional(),
    seed: z.int().min(0).max(0xffff_ffff).optional(),
  })
  .openapi('DrillRequest') satisfies z.ZodType<DrillRequest>;

export const drainRequest = z
  .strictObject({ keep: z.boolean().optional() })
  .openapi('DrainRequest') satisfies z.ZodType<DrainRequest>;

/** Base64 that fits into a body. */
const MAX_DATA = 1_048_576;
const MAX_AXES = 8;
const MAX_ELEMENTS = 2 ** 31;
const MAX_INPUTS = 256;
const MAX_TENSORS = 100_000;

/** A name given by the caller or a guard: 1 to 128 of [A-Za-z0-9._-]. */
const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/, 'must be 1 to 128 of [A-Za-z0-9._-]');

const tensorData = z.strictObject({
  type: z.enum([
    'float32',
    'float16',
    'float64',
    'int8',
    'uint8',
    'int16',
    'uint16',
    'int32',
    'uint32',
    'int64',
    'uint64',
    'bool',
  ]),
  dims: z.array(z.int().min(0).max(MAX_ELEMENTS)).max(MAX_AXES),
  data: z.string().max(MAX_DATA),
}) satisfies z.ZodType<TensorData>;

const executeOptions = {
  executionId: name,
  model: name,
  maxAgeMs: z.int().min(0).max(MAX_TIMER_MS).optional(),
  deadlineMs: z.int().min(1).max(MAX_TIMER_MS).optional(),
  recheck: z.boolean().optional(),
};

export const executeRequest = z
  .discriminatedUnion('mode', [
    z.strictObject({
      mode: z.literal('onnx'),
      ...executeOptions,
      inputs: z
        .record(z.string().max(MAX_LABEL), tensorData)
        .refine((inputs) => Object.keys(inputs).length <= MAX_INPUTS, `must be at most ${MAX_INPUTS}`),
    }),
    z.strictObject({
      mode: z.literal('engine'),
      ...executeOptions,
      inputs: z.strictObject({
        path: z.enum(['/v1/chat/completions', '/v1/completions', '/v1/embeddings', '/v1/responses']),
        body: z.record(z.string(), z.unknown()),
      }),
    }),
  ])
  .openapi('ExecuteRequest') satisfies z.ZodType<ExecuteRequest>;

const size = z.int().min(0);
const label = z.string().max(MAX_LABEL);

export const guardRequest = z
  .strictObject({
    model: name,
    pid: z.int().min(1).max(MAX_PID),
    client: z.string().regex(/^[^\p{Cc}]{1,128}$/u, 'must be 1 to 128 characters, no control characters'),
    manifest: z.object({
      v: z.literal(1),
      tensors: z
        .array(
          z.strictObject({
            name: label,
            dtype: label,
            shape: z.array(size).max(MAX_GUARD_AXES),
            byteLength: size,
            fsverity: z.string().regex(/^fsverity-sha256-12:[0-9a-f]{64}$/),
          }),
        )
        .max(MAX_TENSORS),
    }),
  })
  .openapi('GuardRequest') satisfies z.ZodType<GuardRequest>;

/** Further keys that a guard sends are dropped. */
export const guardReport = z
  .object({
    v: z.literal(1),
    type: z.literal('guard.report'),
    operation: label,
    outcome: z.enum(['clean', 'damaged', 'changed', 'transient', 'busy', 'suspended', 'unavailable']),
    against: z.enum(['first-use', 'manifest']),
    tensors: size,
    byte_length: size,
    damaged_blocks: size,
    elapsed_ms: z.number().min(0),
    message: z.string().max(MAX_ORIGIN).nullable(),
    at: z.string().max(64),
  })
  .openapi('GuardReport') satisfies z.ZodType<GuardReport>;

export const idParameter = z.object({ id: z.string().min(1).max(128) });
export const nameParameter = z.object({ name: z.string().min(1).max(128) });
