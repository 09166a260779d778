import type {
  AttestRequest,
  CommitRequest,
  DrainRequest,
  DrillRequest,
  ModelOrigin,
  ModelPart,
  PlanRequest,
} from '../../api-schema/index.js';
import { z } from '../packages/index.js';

/** Longest path or URL, in UTF-16 units. */
const MAX_ORIGIN = 4_096;
const MAX_FILES = 1_024;
const MAX_DIGEST = 256;

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

export const nameParameter = z.object({ name: z.string().min(1).max(128) });
