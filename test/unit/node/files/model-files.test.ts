import { createHash } from 'node:crypto';
import { open, readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { gguf } from '@huggingface/gguf';
import { parseSafetensorsMetadata } from '@huggingface/hub';
import onnxProto from 'onnx-proto';
import { describe, expect, it } from 'vitest';
import type { TensorEntry } from '../../../../src/models/tensors.js';
import { openModel } from '../../../../src/node/files/model-files.js';
import type { Model, ModelShard } from '../../../../src/node/files/model-types.js';
import { FIXTURE_FILES, FIXTURE_MODELS, fixtures } from '../../../support/fixtures.js';

const folder = fixtures();
const fixture = (model: string, format: keyof typeof FIXTURE_FILES): string =>
  join(folder, model, FIXTURE_FILES[format]);

async function tensorBytes(shard: ModelShard, tensor: TensorEntry): Promise<Uint8Array> {
  const handle = await open(shard.path);
  try {
    const bytes = new Uint8Array(tensor.byteLength);
    const { bytesRead } = await handle.read(bytes, 0, bytes.length, tensor.byteOffset);
    expect(bytesRead).toBe(tensor.byteLength);
    return bytes;
  } finally {
    await handle.close();
  }
}

/** SHA-256 of each tensor with raw bytes, by name. */
async function tensorDigests(model: Model): Promise<Map<string, string>> {
  const digests = new Map<string, string>();
  for (const shard of model.shards) {
    for (const tensor of shard.tensors) {
      if (tensor.encoding !== 'raw') continue;
      const bytes = await tensorBytes(shard, tensor);
      digests.set(tensor.name, createHash('sha256').update(bytes).digest('hex'));
    }
  }
  return digests;
}

const sorted = (digests: Map<string, string>): [string, string][] =>
  [...digests].sort(([a], [b]) => (a < b ? -1 : 1));

/** Serves files of a folder in place of a hub: no request leaves the process. */
function localFetch(root: string): typeof fetch {
  return async (input, init) => {
    const request = new Request(input, init);
    const path = join(root, basename(new URL(request.url).pathname));
    const bytes = await readFile(path).catch(() => null);
    if (bytes === null) return new Response(null, { status: 404 });
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.get('range') ?? '');
    const start = range === null ? 0 : Number(range[1]);
    const end = range === null ? bytes.length : Math.min(bytes.length, Number(range[2]) + 1);
    const body = request.method === 'HEAD' ? null : new Uint8Array(bytes.subarray(start, end));
    return new Response(body, {
      status: range === null ? 200 : 206,
      headers: {
        etag: '"local"',
        'content-length': String(end - start),
        'content-range': `bytes ${start}-${end - 1}/${bytes.length}`,
      },
    });
  };
}

describe.each(FIXTURE_MODELS)('%s', (name) => {
  it('has the same tensors as ONNX, with external data or not, safetensors, sharded or not, and GGUF', async () => {
    const onnx = await openModel(fixture(name, 'onnx'));
    const expected = sorted(await tensorDigests(onnx));
    expect(expected.length).toBeGreaterThan(300);
    const varints = onnx.shards[0]?.tensors.filter(({ encoding }) => encoding === 'protobuf') ?? [];
    const others = new Set(varints.map((tensor) => tensor.name));
    expect(others.size).toBe(name === 'silero' ? 1 : 0);
    for (const format of ['external', 'single', 'sharded', 'gguf', 'gguf2'] as const) {
      const digests = await tensorDigests(await openModel(fixture(name, format)));
      for (const varint of others) digests.delete(varint);
      expect(sorted(digests)).toEqual(expected);
    }
  });

  it('agrees with onnx-proto on every tensor of the ONNX file', async () => {
    const model = await openModel(fixture(name, 'onnx'));
    const [shard] = model.shards;
    if (shard === undefined) throw new Error('no shard');
    const theirs = new Map<string, { dims: number[]; bytes: Uint8Array }>();
    const visit = (graph: onnxProto.onnx.IGraphProto, prefix: string): void => {
      for (const tensor of graph.initializer ?? []) add(`${prefix}${tensor.name}`, tensor);
      for (const node of graph.node ?? []) {
        for (const attribute of node.attribute ?? []) {
          const place = `${prefix}${node.output?.[0]}${attribute.name === 'value' ? '' : `.${attribute.name}`}`;
          if (attribute.t) add(place, attribute.t);
          if (attribute.g) visit(attribute.g, `${place}/`);
        }
      }
    };
    const add = (place: string, tensor: onnxProto.onnx.ITensorProto): void => {
      theirs.set(place, {
        dims: (tensor.dims ?? []).map(Number),
        bytes: tensor.rawData ?? new Uint8Array(0),
      });
    };
    visit(onnxProto.onnx.ModelProto.decode(await readFile(shard.path)).graph ?? {}, '');
    expect(shard.tensors.map((tensor) => tensor.name).sort()).toEqual([...theirs.keys()].sort());
    for (const tensor of shard.tensors) {
      const their = theirs.get(tensor.name);
      expect(tensor.shape).toEqual(their?.dims);
      if (tensor.encoding !== 'raw') continue;
      expect(Buffer.compare(await tensorBytes(shard, tensor), their?.bytes ?? new Uint8Array(1))).toBe(0);
    }
  });

  it.each(['gguf', 'gguf2'] as const)('agrees with @huggingface/gguf on the %s file', async (format) => {
    const path = fixture(name, format);
    const [shard] = (await openModel(path)).shards;
    const theirs = await gguf(path, { allowLocalFile: true });
    expect(theirs.metadata.version).toBe(format === 'gguf' ? 3 : 2);
    const dataStart = Number(theirs.tensorDataOffset);
    const expected = theirs.tensorInfos
      .map((info) => ({
        name: info.name,
        shape: info.shape.map(Number),
        byteOffset: dataStart + Number(info.offset),
        type: info.dtype,
      }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
    const typeNumbers: Record<string, number> = { F32: 0, I32: 26, I64: 27 };
    const ours = (shard?.tensors ?? [])
      .map(({ name: tensor, shape, byteOffset, dtype }) => ({
        name: tensor,
        shape: [...shape],
        byteOffset,
        type: typeNumbers[dtype],
      }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
    expect(ours).toEqual(expected);
  });

  it('agrees with @huggingface/hub on the safetensors file and on each shard', async () => {
    for (const format of ['single', 'sharded'] as const) {
      const path = fixture(name, format);
      const model = await openModel(path);
      for (const shard of model.shards) {
        const parsed = await parseSafetensorsMetadata({
          repo: 'local/model',
          path: shard.label,
          fetch: localFetch(dirname(path)),
        });
        if (parsed.sharded) throw new Error('one file was asked for');
        const { __metadata__, ...header } = parsed.header;
        const dataStart =
          shard.byteLength - Math.max(...Object.values(header).map((info) => info.data_offsets[1]));
        const ours = Object.fromEntries(
          shard.tensors.map(({ name: tensor, dtype, shape, byteOffset, byteLength }) => [
            tensor,
            { dtype, shape, data_offsets: [byteOffset - dataStart, byteOffset - dataStart + byteLength] },
          ]),
        );
        expect(ours).toEqual(header);
      }
    }
  });
});
