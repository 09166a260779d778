import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findTensor, tensorRange } from '../../../../src/models/tensors.js';
import { openModel, openShard } from '../../../../src/node/files/model-files.js';
import { openUnchanged } from '../../../../src/node/files/source-facts.js';
import {
  ggufFile,
  ggufTensor,
  onnxExternal,
  onnxFile,
  onnxTensor,
  safetensorsFile,
} from '../../../fuzz/build.mjs';

let root: string;
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'model-')));
});
afterEach(() => rmSync(root, { recursive: true }));

function put(name: string, content: string | Uint8Array | object): string {
  const path = join(root, name);
  mkdirSync(dirname(path), { recursive: true });
  const plain = typeof content === 'string' || content instanceof Uint8Array;
  writeFileSync(path, plain ? content : JSON.stringify(content));
  return path;
}

const one = (name: string): Uint8Array =>
  safetensorsFile({ [name]: { dtype: 'U8', shape: [4], data_offsets: [0, 4] } }, Uint8Array.of(1, 2, 3, 4));
const INDEX = 'model.safetensors.index.json';
const external = (location: string): Uint8Array =>
  onnxFile({ initializers: [onnxTensor({ raw: null, fields: onnxExternal({ location, offset: '4' }) })] });

describe('openModel: what a path may be', () => {
  it('opens one file of each format, and raw bytes', async () => {
    put('m.safetensors', one('a'));
    put('m.gguf', ggufFile());
    put('gguf-without-suffix', ggufFile());
    put('m.onnx', onnxFile());
    put('m.bin', 'raw');
    const formats = ['m.safetensors', 'm.gguf', 'gguf-without-suffix', 'm.onnx', 'm.bin'].map(
      async (name) => {
        const { format, shards, tensorCount, byteLength } = await openModel(join(root, name));
        const [shard] = shards;
        expect(shards.length).toBe(1);
        expect(shard?.label).toBe(name);
        expect(shard?.path).toBe(join(root, name));
        expect(byteLength).toBe(statSync(join(root, name)).size);
        return `${format} ${tensorCount}`;
      },
    );
    expect(await Promise.all(formats)).toEqual(['safetensors 1', 'gguf 1', 'gguf 1', 'onnx 1', 'raw 0']);
  });

  it('opens as many tensors in one file, and as much metadata, as models in use have', async () => {
    const tensors = Array.from({ length: 36_864 }, (_, i) => [
      `base_model.model.layers.${i}.mlp.experts.gate_proj.lora_A.weight`,
      { dtype: 'BF16', shape: [1, 1], data_offsets: [2 * i, 2 * i + 2] },
    ]);
    const adapter = safetensorsFile(Object.fromEntries(tensors), new Uint8Array(2 * tensors.length));
    expect((await openModel(put('adapter.safetensors', adapter))).tensorCount).toBe(36_864);
    const __metadata__ = Object.fromEntries(Array.from({ length: 4_097 }, (_, i) => [`l.${i}`, '{}']));
    const a = { dtype: 'U8', shape: [1], data_offsets: [0, 1] };
    const described = safetensorsFile({ __metadata__, a }, Uint8Array.of(1));
    expect((await openModel(put('described.safetensors', described))).tensorCount).toBe(1);
  });

  it('opens a format that the name does not tell, if it is told', async () => {
    const path = put('weights', one('a'));
    expect((await openModel(path)).format).toBe('raw');
    expect((await openModel(path, { format: 'safetensors' })).tensorCount).toBe(1);
    await expect(openModel(path, { format: 'onnx' })).rejects.toThrow('"weights" has');
    await expect(Reflect.apply(openModel, undefined, [path, { format: 'zip' }])).rejects.toThrow(
      '"format" must be one of auto, safetensors, gguf, onnx, raw',
    );
  });

  it('opens the one model of a folder', async () => {
    put('config.json', '{}');
    put('README.md', '# model');
    put('model.safetensors', one('a'));
    expect((await openModel(root)).shards[0]?.label).toBe('model.safetensors');
    put('other.safetensors', one('a'));
    await expect(openModel(root)).rejects.toThrow('"path" is a directory with 2 models: name one of');
    put(INDEX, { weight_map: { a: 'model.safetensors' } });
    expect((await openModel(root)).shards.map(({ label }) => label)).toEqual(['model.safetensors']);
    put('m.gguf', ggufFile());
    await expect(openModel(root)).rejects.toThrow('is a directory with 2 models');
    expect((await openModel(root, { format: 'gguf' })).format).toBe('gguf');
    await expect(openModel(root, { format: 'raw' })).rejects.toThrow('is a directory: name the raw files');
    await expect(openModel(root, { format: 'onnx' })).rejects.toThrow(
      'is a directory without a safetensors, GGUF or ONNX model',
    );
  });

  it.each([
    ['an empty string', '', '"path" must be a non-empty string'],
    ['a null byte', 'a\0b', '"path" must not contain null bytes'],
    ['a missing file', 'none.gguf', '"path" names nothing that exists'],
  ])('refuses %s', async (_, name, message) => {
    await expect(openModel(name === '' ? '' : join(root, name))).rejects.toThrow(message);
  });

  it('refuses an empty raw file, a control character in a name, and a pipe without waiting for a writer', async () => {
    await expect(openModel(put('empty.bin', ''))).rejects.toThrow('"empty.bin" is empty');
    await expect(openModel(put('a\nb.bin', 'x'))).rejects.toThrow(
      '"path" must not contain control characters',
    );
    if (process.platform === 'win32') return;
    for (const name of ['pipe.gguf', 'pipe']) {
      execFileSync('mkfifo', [join(root, name)]);
      await expect(openModel(join(root, name))).rejects.toThrow('not a regular file');
    }
  });
});

describe('openModel: sharded safetensors', () => {
  it('opens every file that the index names', async () => {
    put('1.safetensors', one('a'));
    put('2.safetensors', one('b'));
    const model = await openModel(put(INDEX, { weight_map: { b: '2.safetensors', a: '1.safetensors' } }));
    expect(model.shards.map(({ label, tensors }) => [label, tensors[0]?.name])).toEqual([
      ['1.safetensors', 'a'],
      ['2.safetensors', 'b'],
    ]);
  });

  it('refuses missing files, missing tensors and tensors that the index does not name', async () => {
    const index = put(INDEX, { weight_map: { a: '1.safetensors', b: '2.safetensors' } });
    put('1.safetensors', one('a'));
    await expect(openModel(index)).rejects.toThrow(
      '"2.safetensors" is named by the model but cannot be found in its folder',
    );
    put('2.safetensors', one('c'));
    await expect(openModel(index)).rejects.toThrow(
      '"model.safetensors.index.json" does not name the tensor "c", which "2.safetensors" holds',
    );
    put('2.safetensors', safetensorsFile('{}'));
    await expect(openModel(index)).rejects.toThrow(
      'names the tensor "b", which "2.safetensors" does not hold',
    );
  });

  it('refuses a link out of the folder', async () => {
    put('secret/1.safetensors', one('a'));
    mkdirSync(join(root, 'model'));
    symlinkSync('../secret/1.safetensors', join(root, 'model/1.safetensors'));
    const index = put(`model/${INDEX}`, { weight_map: { a: '1.safetensors' } });
    await expect(openModel(index)).rejects.toThrow(
      '"1.safetensors" is a link out of the folder of the model',
    );
  });

  it('follows links into the blobs of a Hugging Face cache, and no further', async () => {
    const repo = 'models--org--name';
    const snapshot = `${repo}/snapshots/0123456789abcdef0123456789abcdef01234567`;
    put(`${repo}/blobs/aaaa`, one('a'));
    put(`${repo}/blobs/bbbb`, { weight_map: { a: '1.safetensors' } });
    put(`${repo}/refs/main`, one('a'));
    mkdirSync(join(root, snapshot), { recursive: true });
    symlinkSync('../../blobs/aaaa', join(root, snapshot, '1.safetensors'));
    symlinkSync('../../blobs/bbbb', join(root, snapshot, INDEX));
    const model = await openModel(join(root, snapshot));
    expect(model.shards.map(({ label }) => label)).toEqual(['1.safetensors']);
    rmSync(join(root, snapshot, '1.safetensors'));
    symlinkSync('../../refs/main', join(root, snapshot, '1.safetensors'));
    await expect(openModel(join(root, snapshot))).rejects.toThrow('is a link out of the folder of the model');
  });
});

describe('openModel: ONNX with external data', () => {
  it('opens the files that hold it, in folders below and behind links that stay inside', async () => {
    put('data/w.bin', new Uint8Array(12));
    symlinkSync('data/w.bin', join(root, 'link.bin'));
    const model = await openModel(put('m.onnx', external('./data/w.bin')));
    expect(model.shards.map(({ label, tensors }) => [label, tensors.length])).toEqual([
      ['m.onnx', 0],
      ['data/w.bin', 1],
    ]);
    expect(findTensor(model, 'w').tensor.byteOffset).toBe(4);
    const linked = await openModel(put('linked.onnx', external('link.bin')));
    expect(linked.shards[1]?.path).toBe(join(root, 'link.bin'));
  });

  it('refuses what is missing, too short, a folder, or behind a link out', async () => {
    mkdirSync(join(root, 'm/folder'), { recursive: true });
    put('outside.bin', new Uint8Array(12));
    symlinkSync('../outside.bin', join(root, 'm/link.bin'));
    symlinkSync('..', join(root, 'm/up'));
    put('m/short.bin', new Uint8Array(11));
    for (const [location, message] of [
      ['none.bin', '"none.bin" is named by the model but cannot be found in its folder'],
      ['short.bin', '"short.bin" is too short for the tensor "w"'],
      ['link.bin', '"link.bin" is a link out of the folder of the model'],
      ['up/outside.bin', '"up/outside.bin" is a link out of the folder of the model'],
      ['folder', '"path" is a directory'],
      ['../outside.bin', 'in a file outside the folder of the model'],
    ] as const) {
      await expect(openModel(put('m/m.onnx', external(location)))).rejects.toThrow(message);
    }
  });
});

describe('openModel: split GGUF', () => {
  const part = (name: string): Uint8Array => ggufFile({ tensors: [ggufTensor({ name })] });

  it('opens all parts from any of them', async () => {
    put('m-00001-of-00002.gguf', part('a'));
    const second = put('m-00002-of-00002.gguf', part('b'));
    for (const path of [second, root]) {
      expect((await openModel(path)).shards.map(({ label }) => label)).toEqual([
        'm-00001-of-00002.gguf',
        'm-00002-of-00002.gguf',
      ]);
    }
  });

  it('refuses a missing part, a tensor in two parts, and no parts', async () => {
    const first = put('m-00001-of-00002.gguf', part('a'));
    await expect(openModel(first)).rejects.toThrow(
      '"m-00002-of-00002.gguf" is named by the model but cannot be found',
    );
    put('m-00002-of-00002.gguf', part('a'));
    await expect(openModel(first)).rejects.toThrow(
      '"m-00002-of-00002.gguf" has the tensor "a" of another part',
    );
    await expect(openModel(put('m-00001-of-00000.gguf', part('a')))).rejects.toThrow(
      'is part of a model of 0 parts',
    );
    await expect(openModel(put('m-00001-of-99999.gguf', part('a')))).rejects.toThrow(
      'is part of a model of 99999 parts',
    );
  });
});

describe('where a shard came from', () => {
  it('is known, and a shard that is no longer that file is not opened', async () => {
    const path = put('m.safetensors', one('a'));
    const model = await openModel(path);
    const [shard] = model.shards;
    if (shard === undefined) throw new Error('no shard');
    const { size, mtimeNs, ctimeNs, ino: inode, dev: device } = statSync(path, { bigint: true });
    expect(shard.facts).toEqual({ path, byteLength: Number(size), mtimeNs, ctimeNs, inode, device });

    const source = await openShard(shard);
    const range = tensorRange(findTensor(model, 'a').tensor, 1, 2);
    expect(await source.readRange?.(range.byteOffset, range.byteLength)).toEqual(Uint8Array.of(2, 3));
    await source.close();

    utimesSync(path, 1, 1);
    await expect(openShard(shard)).rejects.toMatchObject({
      code: 'SOURCE_MISMATCH',
      message: 'the file "m.safetensors" has another time of change than when it was registered',
    });
    const [moved] = (await openModel(path)).shards;
    if (moved === undefined) throw new Error('no shard');
    const now = moved.facts;
    writeFileSync(path, one('b'));
    utimesSync(path, 1, 1);
    await expect(openUnchanged(now)).rejects.toThrow(
      'has another time of change than when it was registered',
    );
    writeFileSync(path, one('a'));
    utimesSync(path, 1, 1);
    put('copy', one('a'));
    utimesSync(join(root, 'copy'), 1, 1);
    renameSync(join(root, 'copy'), path);
    await expect(openUnchanged(now)).rejects.toThrow('has another inode than when it was registered');
    put('m.safetensors', 'shorter');
    await expect(openUnchanged(now)).rejects.toThrow('has another size than when it was registered');
    rmSync(path);
    await expect(openUnchanged(now)).rejects.toThrow('no such file');
  });
});

describe('findTensor and tensorRange', () => {
  it('find a tensor and the bytes of a part of it, inside it alone', async () => {
    const model = await openModel(put('m.safetensors', one('a')));
    const { shard, tensor } = findTensor(model, 'a');
    const dataStart = shard.byteLength - 4;
    expect(tensorRange(tensor)).toEqual({ byteOffset: dataStart, byteLength: 4 });
    expect(tensorRange(tensor, 3)).toEqual({ byteOffset: dataStart + 3, byteLength: 1 });
    expect(tensorRange(tensor, 4)).toEqual({ byteOffset: dataStart + 4, byteLength: 0 });
    expect(() => findTensor(model, 'b')).toThrow('"tensor" names no tensor of this model');
    expect(() => tensorRange(tensor, 5)).toThrow('"offset" must be an integer from 0 to 4, got 5');
    expect(() => tensorRange(tensor, -1)).toThrow('"offset" must be');
    expect(() => tensorRange(tensor, 1, 4)).toThrow('"length" must be an integer from 0 to 3, got 4');
    expect(() => tensorRange({ ...tensor, encoding: 'protobuf' })).toThrow('it has no range to lease');
  });
});
