import { describe, expect, it } from 'vitest';
import {
  attestRequest,
  commitRequest,
  drainRequest,
  drillRequest,
  executeRequest,
  guardReport,
  guardRequest,
  idParameter,
  planRequest,
} from '../../../src/worker/http/schemas.js';
import type { z } from '../../../src/worker/packages/index.js';

const longest = (length: number): string => 'x'.repeat(length);
const many = <T>(length: number, value: T): T[] => Array.from({ length }, () => value);
const TENSOR = { type: 'float32', dims: [1], data: 'AAAAAA==' };
const ENGINE = {
  mode: 'engine',
  executionId: 'e',
  model: 'm',
  inputs: { path: '/v1/completions', body: { prompt: 'x' } },
};
const ONNX = { mode: 'onnx', executionId: 'e', model: 'm', inputs: { x: TENSOR } };
const GUARDED = {
  name: 'w',
  dtype: 'F32',
  shape: [2],
  byteLength: 8,
  fsverity: `fsverity-sha256-12:${'a'.repeat(64)}`,
};
const GUARD = { model: 'm', pid: 1, client: 'c', manifest: { v: 1, tensors: [GUARDED] } };
const REPORT = {
  v: 1,
  type: 'guard.report',
  operation: 'verify',
  outcome: 'clean',
  against: 'manifest',
  tensors: 1,
  byte_length: 8,
  damaged_blocks: 0,
  elapsed_ms: 0.5,
  message: null,
  at: '2026-01-01T00:00:00.000Z',
};
const guarded = (change: object) => ({
  ...GUARD,
  manifest: { ...GUARD.manifest, tensors: [{ ...GUARDED, ...change }] },
});
const onnx = (change: object) => ({ ...ONNX, inputs: { x: { ...TENSOR, ...change } } });

interface Case {
  readonly schema: z.ZodType;
  readonly good: readonly object[];
  readonly bad: readonly object[];
}

const CASES: Readonly<Record<string, Case>> = {
  plan: {
    schema: planRequest,
    good: [
      {},
      { byteLength: 1 },
      { model: { path: '/m' } },
      { model: { path: longest(4096) } },
      { model: { url: longest(4096) } },
    ],
    bad: [
      { byteLength: 0 },
      { byteLength: 1.5 },
      { more: 1 },
      { model: { path: '' } },
      { model: { path: longest(4097) } },
      { model: { url: '' } },
      { model: { url: longest(4097) } },
      { model: { path: '/m', url: 'https://h/m' } },
      { model: {} },
    ],
  },
  commit: {
    schema: commitRequest,
    good: [
      { name: 'm', path: '/m' },
      {
        name: longest(128),
        url: 'https://h/m',
        expected: many(1024, longest(256)),
        hashing: 'device',
        format: 'gguf',
        part: { index: 0, of: 1024 },
        layout: 'tensors',
        share: true,
        reservationId: longest(64),
      },
      ...['auto', 'safetensors', 'onnx', 'raw'].map((format) => ({ name: 'm', path: '/m', format })),
      { name: 'm', path: '/m', hashing: 'host', layout: 'files' },
    ],
    bad: [
      { path: '/m' },
      { name: 'm' },
      { name: '', path: '/m' },
      { name: longest(129), path: '/m' },
      { name: 'm', path: '/m', url: 'https://h/m' },
      { name: 'm', path: '' },
      { name: 'm', url: '' },
      { name: 'm', url: longest(4097) },
      { name: 'm', path: longest(4097) },
      { name: 'm', path: '/m', expected: many(1025, 'x') },
      { name: 'm', path: '/m', expected: [longest(257)] },
      { name: 'm', path: '/m', hashing: 'gpu' },
      { name: 'm', path: '/m', format: 'pickle' },
      { name: 'm', path: '/m', layout: 'rows' },
      { name: 'm', path: '/m', part: { index: -1, of: 1 } },
      { name: 'm', path: '/m', part: { index: 0, of: 0 } },
      { name: 'm', path: '/m', part: { index: 0, of: 1025 } },
      { name: 'm', path: '/m', part: { index: 0, of: 1, more: 1 } },
      { name: 'm', path: '/m', share: 'yes' },
      { name: 'm', path: '/m', reservationId: longest(65) },
      { name: 'm', path: '/m', more: 1 },
    ],
  },
  attest: {
    schema: attestRequest,
    good: [{ nonce: '0f'.repeat(16) }, { nonce: 'A9'.repeat(64) }],
    bad: [
      {},
      { nonce: '00'.repeat(15) },
      { nonce: '00'.repeat(65) },
      { nonce: `${'00'.repeat(16)}0` },
      { nonce: `x${'00'.repeat(16)}` },
      { nonce: 'g0'.repeat(16) },
      { nonce: '00'.repeat(16), more: 1 },
    ],
  },
  drill: {
    schema: drillRequest,
    good: [{}, { shard: 0, flips: 1, seed: 0 }, { shard: 1024, flips: 1024, seed: 2 ** 32 - 1 }],
    bad: [
      { shard: -1 },
      { shard: 1025 },
      { flips: 0 },
      { flips: 1025 },
      { seed: -1 },
      { seed: 2 ** 32 },
      { more: 1 },
    ],
  },
  drain: { schema: drainRequest, good: [{}, { keep: true }], bad: [{ keep: 1 }, { more: 1 }] },
  execute: {
    schema: executeRequest,
    good: [
      ENGINE,
      ...['chat/completions', 'embeddings', 'responses'].map((path) => ({
        ...ENGINE,
        inputs: { path: `/v1/${path}`, body: {} },
      })),
      { ...ENGINE, maxAgeMs: 0, deadlineMs: 1, recheck: true },
      { ...ENGINE, maxAgeMs: 2 ** 31 - 1, deadlineMs: 2 ** 31 - 1 },
      { ...ENGINE, executionId: 'A._-9', model: `m${longest(127)}` },
      ONNX,
      ...[
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
      ].map((type) => onnx({ type })),
      onnx({ dims: many(8, 2 ** 31), data: longest(1_048_576) }),
      { ...ONNX, inputs: Object.fromEntries(many(256, TENSOR).entries()) },
      { ...ONNX, inputs: { [longest(1024)]: TENSOR } },
    ],
    bad: [
      { ...ENGINE, mode: 'shell' },
      { ...ENGINE, more: 1 },
      { ...ENGINE, executionId: undefined },
      { ...ENGINE, executionId: '-e' },
      { ...ENGINE, executionId: 'a/b' },
      { ...ENGINE, executionId: ' e' },
      { ...ENGINE, model: longest(129) },
      { ...ENGINE, maxAgeMs: -1 },
      { ...ENGINE, maxAgeMs: 2 ** 31 },
      { ...ENGINE, deadlineMs: 0 },
      { ...ENGINE, deadlineMs: 2 ** 31 },
      { ...ENGINE, recheck: 1 },
      { ...ENGINE, inputs: { path: '/v1/files', body: {} } },
      { ...ENGINE, inputs: { path: '/v1/completions', body: 'x' } },
      { ...ENGINE, inputs: { path: '/v1/completions', body: {}, more: 1 } },
      { ...ONNX, more: 1 },
      onnx({ type: 'string' }),
      onnx({ dims: [-1] }),
      onnx({ dims: [2 ** 31 + 1] }),
      onnx({ dims: many(9, 1) }),
      onnx({ data: longest(1_048_577) }),
      onnx({ more: 1 }),
      { ...ONNX, inputs: Object.fromEntries(many(257, TENSOR).entries()) },
      { ...ONNX, inputs: { [longest(1025)]: TENSOR } },
    ],
  },
  guard: {
    schema: guardRequest,
    good: [
      GUARD,
      { ...GUARD, pid: 4_194_304, client: longest(128) },
      { ...GUARD, manifest: { v: 1, tensors: [], made: 'later' } },
      guarded({ name: longest(1024), dtype: longest(1024), shape: many(64, 0), byteLength: 0 }),
      { ...GUARD, manifest: { v: 1, tensors: many(100_000, GUARDED) } },
    ],
    bad: [
      { ...GUARD, more: 1 },
      { ...GUARD, model: '-m' },
      { ...GUARD, pid: 0 },
      { ...GUARD, pid: 4_194_305 },
      { ...GUARD, client: '' },
      { ...GUARD, client: longest(129) },
      { ...GUARD, client: 'a\u0007' },
      { ...GUARD, manifest: { v: 2, tensors: [] } },
      { ...GUARD, manifest: { v: 1, tensors: many(100_001, GUARDED) } },
      guarded({ name: longest(1025) }),
      guarded({ shape: many(65, 1) }),
      guarded({ shape: [-1] }),
      guarded({ byteLength: -1 }),
      guarded({ fsverity: `fsverity-sha256-12:${'a'.repeat(63)}` }),
      guarded({ fsverity: `fsverity-sha256-12:${'a'.repeat(65)}` }),
      guarded({ fsverity: ` fsverity-sha256-12:${'a'.repeat(64)}` }),
      guarded({ fsverity: `fsverity-sha256-12:${'G'.repeat(64)}` }),
      guarded({ more: 1 }),
    ],
  },
  report: {
    schema: guardReport,
    good: [
      REPORT,
      ...['damaged', 'changed', 'transient', 'busy', 'suspended', 'unavailable'].map((outcome) => ({
        ...REPORT,
        outcome,
      })),
      { ...REPORT, against: 'first-use', elapsed_ms: 0, tensors: 0, byte_length: 0 },
      { ...REPORT, operation: longest(1024), message: longest(4096), at: longest(64), more: 1 },
    ],
    bad: [
      { ...REPORT, v: 2 },
      { ...REPORT, type: 'report' },
      { ...REPORT, operation: longest(1025) },
      { ...REPORT, outcome: 'fine' },
      { ...REPORT, against: 'memory' },
      { ...REPORT, tensors: -1 },
      { ...REPORT, damaged_blocks: 0.5 },
      { ...REPORT, elapsed_ms: -1 },
      { ...REPORT, message: longest(4097) },
      { ...REPORT, at: longest(65) },
    ],
  },
  'id in a path': {
    schema: idParameter,
    good: [{ id: 'x' }, { id: longest(128) }],
    bad: [{ id: '' }, { id: longest(129) }],
  },
};

function inShort(value: object): string {
  return JSON.stringify(value).slice(0, 120);
}

describe.each(Object.entries(CASES))('the body of a request: %s', (_, { schema, good, bad }) => {
  it('is taken up to its limits', () => {
    for (const body of good) expect(schema.safeParse(body).error?.issues, inShort(body)).toBeUndefined();
  });

  it('is refused beyond them, and where it has a key too many', () => {
    for (const body of bad) expect(schema.safeParse(body).success, inShort(body)).toBe(false);
  });
});

it('says in words what a name, a client and the inputs of a model must be', () => {
  const said = (schema: z.ZodType, body: object) => schema.safeParse(body).error?.issues[0]?.message;
  expect(said(executeRequest, { ...ENGINE, model: 'a/b' })).toBe('must be 1 to 128 of [A-Za-z0-9._-]');
  expect(said(guardRequest, { ...GUARD, client: '' })).toBe(
    'must be 1 to 128 characters, no control characters',
  );
  const inputs = Object.fromEntries(many(257, TENSOR).entries());
  expect(said(executeRequest, { ...ONNX, inputs })).toBe('must be at most 256');
});
