import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openModel } from '../../../../src/node/files/model-files.js';
import { concat, ggufFile, ggufKey, ggufTensor, safetensorsFile, u32 } from '../../../fuzz/build.mjs';

let root: string;
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'words-')));
});
afterEach(() => rmSync(root, { recursive: true }));

function put(name: string, content: string | Uint8Array): string {
  const path = join(root, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  return path;
}

const one = (name: string): Uint8Array =>
  safetensorsFile({ [name]: { dtype: 'U8', shape: [4], data_offsets: [0, 4] } }, Uint8Array.of(1, 2, 3, 4));

describe('openModel: what is not weights', () => {
  const bytes = (start: readonly number[]): Uint8Array => concat(Uint8Array.from(start), new Uint8Array(60));
  const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${'ab'.repeat(32)}\nsize 5\n`;
  const endings = ['safetensors', 'gguf', 'onnx', 'bin', 'safetensors.index.json'];

  it.each([
    ['a Git LFS pointer', pointer],
    ['a pointer of git-annex', `/annex/objects/SHA256E-s5--${'ab'.repeat(32)}.safetensors\n`],
    ['an HTML page', '<!DOCTYPE html><html><body>Please log in.</body></html>\n'],
    ['an XML document', '<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>\n'],
    ['a ZIP archive', bytes([0x50, 0x4b, 3, 4])],
    [
      'a PyTorch checkpoint in pickle form',
      bytes([0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19]),
    ],
    ['a Python pickle', bytes([0x80, 4, 0x95, 5, 0, 0, 0, 0, 0, 0, 0])],
    ['a GGML file from before GGUF', bytes([0x74, 0x6a, 0x67, 0x67])],
  ])('is refused as %s under every name', async (what, content) => {
    for (const ending of endings) {
      const path = put(`m.${ending}`, content);
      await expect(openModel(path)).rejects.toThrow(`"m.${ending}" is ${what}`);
    }
    expect((await openModel(put('forced.bin', content), { format: 'raw' })).format).toBe('raw');
  });

  it.each([
    ['m.gguf.part2of2', 'one piece of a split file'],
    ['m.SAFETENSORS.part-01', 'one piece of a split file'],
    ['model.safetensors.tmp', 'a download that did not finish'],
  ])('%s is refused by its name as %s', async (name, what) => {
    await expect(openModel(put(name, bytes([1, 2, 3])))).rejects.toThrow(`"${name}" is ${what}`);
    expect((await openModel(put(name, bytes([1, 2, 3])), { format: 'raw' })).format).toBe('raw');
  });

  it.each(['partition.bin', 'm.onnx.data', 'weights.part1', 'weights.tmp'])('%s is raw', async (name) => {
    expect((await openModel(put(name, bytes([1, 2, 3])))).format).toBe('raw');
  });

  it('is refused as JSON, and as an unfinished download, where only raw is left', async () => {
    for (const name of ['pytorch_model.bin.index.json', 'weights']) {
      await expect(openModel(put(name, '\n {"weight_map":{}}'))).rejects.toThrow(
        `"${name}" seems to be JSON`,
      );
    }
    await expect(openModel(put('a.safetensors.incomplete', one('a')))).rejects.toThrow(
      'a download that did not finish',
    );
  });

  it('other bytes are raw: also ones that begin like JSON or a pickle, but go on otherwise', async () => {
    for (const start of [
      [0x7b, 0, 1],
      [0x80, 2, 0, 0],
      [0x3c, 0],
      [0x50, 0x4b, 5],
    ]) {
      expect((await openModel(put('w.bin', bytes(start)))).format).toBe('raw');
    }
  });

  it('a safetensors header whose length reads like the start of a pickle is none', async () => {
    const name = 'n'.repeat(0x0280 - '{"":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'.length);
    const file = safetensorsFile(`{"${name}":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1);
    expect([...file.subarray(0, 2)]).toEqual([0x80, 2]);
    expect((await openModel(put('m.safetensors', file))).tensorCount).toBe(1);
  });
});

describe('openModel: names', () => {
  it('reads the index of a variant, and takes endings in any case', async () => {
    put('model-00001-of-00001.fp16.safetensors', one('a'));
    for (const name of ['model.safetensors.index.fp16.json', 'model.fp16.safetensors.index.json']) {
      const path = put(name, '{"weight_map":{"a":"model-00001-of-00001.fp16.safetensors"}}');
      expect((await openModel(path)).shards.length).toBe(1);
      expect((await openModel(root)).path).toBe(path);
      rmSync(path);
    }
    expect((await openModel(put('upper/M.SAFETENSORS', one('a')))).format).toBe('safetensors');
    expect((await openModel(put('upper/M.GGUF', ggufFile()))).format).toBe('gguf');
  });

  it('passes over hidden files, sidecars of macOS and folders named like models', async () => {
    put('model.safetensors', one('a'));
    put('._model.safetensors', Uint8Array.of(0, 5, 0x16, 7));
    put('.hidden.safetensors', one('a'));
    mkdirSync(join(root, 'x.safetensors'));
    expect((await openModel(root)).shards.map(({ label }) => label)).toEqual(['model.safetensors']);
  });

  it('names the models among which one must be chosen', async () => {
    put('b.gguf', ggufFile());
    put('a.safetensors', one('a'));
    await expect(openModel(root)).rejects.toThrow('with 2 models: name one of "a.safetensors", "b.gguf"');
    for (let i = 0; i < 8; i++) put(`c${i}.onnx`, '');
    await expect(openModel(root)).rejects.toThrow('"c5.onnx" and 2 more');
  });

  it('tells which weights the index does not name', async () => {
    put('1.safetensors', one('a'));
    put('mtp.safetensors', one('b'));
    put('._1.safetensors', '');
    put('model.safetensors.index.json', '{"weight_map":{"a":"1.safetensors"}}');
    expect((await openModel(root)).unlisted).toEqual(['mtp.safetensors']);
  });
});

describe('openModel: what a GGUF file says of its split', () => {
  const u16 = (value: number): Uint8Array => Uint8Array.of(value & 255, value >> 8);
  const part = (number: number, count: number, tensors: readonly string[], total: number): Uint8Array =>
    ggufFile({
      keys: [
        ggufKey('split.no', 2, u16(number)),
        ggufKey('split.count', 2, u16(count)),
        ggufKey('split.tensors.count', 5, u32(total)),
      ],
      tensors: tensors.map((name) => ggufTensor({ name })),
    });

  it('agrees with the names, in any case of the ending', async () => {
    put('m-00001-of-00002.GGUF', part(0, 2, ['a'], 2));
    const second = put('m-00002-of-00002.GGUF', part(1, 2, ['b'], 2));
    expect((await openModel(second)).tensorCount).toBe(2);
  });

  it.each([
    [
      'swapped',
      part(1, 2, ['b'], 2),
      part(0, 2, ['a'], 2),
      'says that it is part 2, and its name that it is part 1',
    ],
    ['parts of another split', part(0, 3, ['a'], 2), part(1, 3, ['b'], 2), 'says that it is one of 3 parts'],
    [
      'too few tensors',
      part(0, 2, ['a'], 3),
      part(1, 2, ['b'], 3),
      'a model of 3 tensors, but its parts have 2',
    ],
  ])('is not taken as given: %s', async (_, first, second, message) => {
    put('m-00001-of-00002.gguf', first);
    put('m-00002-of-00002.gguf', second);
    await expect(openModel(root)).rejects.toThrow(message);
  });

  it('keeps a part from passing for a whole, under any name', async () => {
    for (const name of ['whole.gguf', 'blob']) {
      await expect(openModel(put(name, part(0, 3, ['a'], 3)))).rejects.toThrow(
        `"${name}" says that it is part 1 of 3`,
      );
    }
    const negative = ggufFile({ keys: [ggufKey('split.count', 5, u32(2 ** 32 - 1))] });
    await expect(openModel(put('n.gguf', negative))).rejects.toThrow(
      'split.count that is negative or too large',
    );
    const text = ggufFile({ keys: [ggufKey('split.no', 7, Uint8Array.of(1))] });
    await expect(openModel(put('t.gguf', text))).rejects.toThrow('split.no that is not an integer');
  });
});
