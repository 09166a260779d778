import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openModel } from '../../src/node/files/model-files.js';
import { onnxExternal, onnxFile, onnxTensor, safetensorsFile } from '../fuzz/build.mjs';
import { cli } from '../support/cli.js';
import { FIXTURE_FILES, fixtures } from '../support/fixtures.js';
import { fsverityOf } from '../support/fsverity.js';
import { xorshiftBytes } from '../support/xorshift.js';

const MIB = 1024 * 1024;
const EMPTY = 'fsverity-sha256-12:3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95';
const NO_TOOL =
  spawnSync('fsverity', ['--version']).status === 0 ? '' : ' (skipped: fsverity is not installed)';
const folder = mkdtempSync(join(tmpdir(), 'vram-tensors-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Manifest {
  readonly v: number;
  readonly files: readonly { name: string; byteLength: number; sha256: string; fsverity: string }[];
  readonly packed: null;
  readonly tensors: readonly {
    readonly name: string;
    readonly dtype: string;
    readonly shape: readonly number[];
    readonly byteLength: number | null;
    readonly fsverity: string | null;
  }[];
}

async function manifest(...files: readonly string[]): Promise<Manifest> {
  const { code, stdout, stderr } = await cli(['digest', '--tensors', '--json', ...files]);
  expect([code, stderr]).toEqual([0, '']);
  const value: Manifest = JSON.parse(stdout);
  return value;
}

function write(name: string, bytes: Uint8Array | string): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

/** The header of U8 tensors with these names and sizes, one after the other. */
function headerOf(sizes: readonly (readonly [string, number])[]): string {
  let end = 0;
  const entries = sizes.map(([name, size]) => {
    const begin = end;
    end += size;
    return [name, { dtype: 'U8', shape: [size], data_offsets: [begin, end] }] as const;
  });
  return JSON.stringify(Object.fromEntries(entries));
}

function tensorsOf(sizes: readonly (readonly [string, number])[], seed = 1): Uint8Array {
  const total = sizes.reduce((sum, [, size]) => sum + size, 0);
  return safetensorsFile(headerOf(sizes), xorshiftBytes(seed, total));
}

/** Bytes of every raw tensor as the readers place them, by name. */
async function sliced(path: string): Promise<Map<string, Uint8Array>> {
  const bytes = new Map<string, Uint8Array>();
  for (const { path: file, tensors } of (await openModel(path)).shards) {
    const whole = readFileSync(file);
    for (const { name, byteOffset, byteLength, encoding } of tensors) {
      if (encoding === 'raw') bytes.set(name, whole.subarray(byteOffset, byteOffset + byteLength));
    }
  }
  return bytes;
}

const model = (format: keyof typeof FIXTURE_FILES): string =>
  join(fixtures(), 'silero', FIXTURE_FILES[format]);

describe.each(['single', 'sharded', 'gguf', 'onnx', 'external'] as const)(
  'digest --tensors: %s',
  (format) => {
    it("has each tensor's fs-verity digest, of exactly its bytes, and each file's digests", async () => {
      const path = model(format);
      const { v, packed, files, tensors } = await manifest(path);
      expect([v, packed]).toEqual([1, null]);
      for (const { name, byteLength, sha256, fsverity } of files) {
        const bytes = readFileSync(join(dirname(path), name));
        expect([byteLength, sha256]).toEqual([
          bytes.length,
          createHash('sha256').update(bytes).digest('hex'),
        ]);
        expect(fsverity).toBe(await fsverityOf(bytes));
      }
      const bytes = await sliced(path);
      expect(bytes.size).toBeGreaterThan(300);
      for (const { name, byteLength, fsverity } of tensors) {
        const own = bytes.get(name);
        if (own === undefined) expect([byteLength, fsverity]).toEqual([null, null]);
        else expect([name, byteLength, fsverity]).toEqual([name, own.length, await fsverityOf(own)]);
      }
      // One constant of this model is stored as varints in ONNX.
      const varints = format === 'onnx' || format === 'external' ? 1 : 0;
      expect(tensors.length - bytes.size).toBe(varints);
    });
  },
);

describe('digest --tensors', () => {
  it.skipIf(NO_TOOL !== '')(`equals the fsverity program over the bytes cut out${NO_TOOL}`, async () => {
    const path = model('single');
    const bytes = await sliced(path);
    const { tensors } = await manifest(path);
    for (const { name, fsverity } of tensors.filter((_, i) => i % 40 === 0)) {
      const file = write('cut.bin', bytes.get(name) ?? new Uint8Array());
      const [hex] = execFileSync('fsverity', ['digest', '--compact', file]).toString().trim().split(' ');
      expect(fsverity).toBe(`fsverity-sha256-12:${hex}`);
    }
  });

  it('says the dtype in the words of safetensors, whatever the format', async () => {
    const byName = async (format: keyof typeof FIXTURE_FILES) => {
      const { tensors } = await manifest(model(format));
      return new Map(tensors.map(({ name, dtype }) => [name, dtype]));
    };
    const single = await byName('single');
    for (const format of ['onnx', 'gguf'] as const) {
      const other = await byName(format);
      for (const [name, dtype] of single) expect(other.get(name)).toBe(dtype);
    }
    const onnx = (name: string, type: number, raw: number) => onnxTensor({ name, type, dims: [2], raw });
    const path = write('types.onnx', onnxFile({ initializers: [onnx('f8', 17, 2), onnx('i4', 22, 1)] }));
    const { tensors } = await manifest(path);
    expect(tensors.map(({ name, dtype }) => [name, dtype])).toEqual([
      ['f8', 'F8_E4M3'],
      ['i4', 'INT4'],
    ]);
  });

  it('tensors that begin, end and lie across the edges of what is read at once', async () => {
    const headerBytes = 1024;
    const sizes = [
      ['to-the-edge', MIB - 8 - headerBytes],
      ['whole', MIB],
      ['one', 1],
      ['across', 5 * MIB],
      ['none', 0],
      ['rest', 4095],
    ] as const;
    const data = xorshiftBytes(1, 7 * MIB - 8 - headerBytes + 4096);
    const path = write('edges.safetensors', safetensorsFile(headerOf(sizes).padEnd(headerBytes), data));
    const { tensors } = await manifest(path);
    let at = 0;
    for (const [name, size] of sizes) {
      const tensor = tensors.find((each) => each.name === name);
      expect([name, tensor?.fsverity]).toEqual([name, await fsverityOf(data.subarray(at, at + size))]);
      at += size;
    }
  });

  it('scalars have an empty shape; tensors without bytes have the digest of no bytes, wherever they lie', async () => {
    const header = {
      first: { dtype: 'F32', shape: [0, 5], data_offsets: [0, 0] },
      scalar: { dtype: 'F32', shape: [], data_offsets: [0, 4] },
      middle: { dtype: 'BF16', shape: [0], data_offsets: [4, 4] },
      pair: { dtype: 'I64', shape: [1, 2], data_offsets: [4, 20] },
      // The largest dimension there is, printed in full.
      last: { dtype: 'BOOL', shape: [Number.MAX_SAFE_INTEGER, 0], data_offsets: [20, 20] },
    };
    const data = xorshiftBytes(3, 20);
    const path = write('empty.safetensors', safetensorsFile(header, data));
    const { tensors } = await manifest(path);
    const digest = new Map(tensors.map(({ name, fsverity }) => [name, fsverity]));
    for (const name of ['first', 'middle', 'last']) expect(digest.get(name)).toBe(EMPTY);
    expect(digest.get('scalar')).toBe(await fsverityOf(data.subarray(0, 4)));
    expect(digest.get('pair')).toBe(await fsverityOf(data.subarray(4)));
    expect(tensors.find(({ name }) => name === 'scalar')).toMatchObject({ shape: [], byteLength: 4 });
    const { stdout } = await cli(['digest', '--tensors', '--json', path]);
    expect(stdout).toContain(' 9007199254740991,');
    const none = write('none.safetensors', safetensorsFile({}, 0));
    expect((await manifest(none)).tensors).toEqual([]);
  });

  it('tensors of ONNX that share their bytes have one digest; a file without bytes holds tensors without', async () => {
    const external = (name: string, dims: number[], location: string, offset: string) =>
      onnxTensor({ name, dims, raw: null, fields: onnxExternal({ location, offset }) });
    const data = xorshiftBytes(5, 20_000);
    write('shared.bin', data);
    write('nothing.bin', '');
    const path = write(
      'shared.onnx',
      onnxFile({
        initializers: [
          external('one', [2500], 'shared.bin', '0'),
          external('other', [2500], 'shared.bin', '0'),
          external('behind', [2500], 'shared.bin', '10000'),
          external('absent', [0], 'nothing.bin', '0'),
        ],
      }),
    );
    const { files, tensors } = await manifest(path);
    expect(files.map(({ name }) => name)).toEqual(['shared.onnx', 'shared.bin', 'nothing.bin']);
    const first = await fsverityOf(data.subarray(0, 10_000));
    expect(tensors.map(({ name, fsverity }) => [name, fsverity])).toEqual([
      ['one', first],
      ['other', first],
      ['behind', await fsverityOf(data.subarray(10_000))],
      ['absent', EMPTY],
    ]);
  });

  it('for people one line a tensor, with what a terminal must not get escaped', async () => {
    const names = ['__proto__', 'constructor', 'a "quoted" name', '\u202egnp.weights', 'ünïcode'];
    const header = names.map(
      (name, i) => `${JSON.stringify(name)}:{"dtype":"U8","shape":[1],"data_offsets":[${i},${i + 1}]}`,
    );
    const path = write('names.safetensors', safetensorsFile(`{${header.join(',')}}`, xorshiftBytes(7, 5)));
    expect((await manifest(path)).tensors.map(({ name }) => name)).toEqual(names);
    const { code, stdout } = await cli(['digest', '--tensors', path]);
    const lines = stdout.trimEnd().split('\n');
    expect(code).toBe(0);
    expect(lines).toHaveLength(names.length);
    expect(lines[0]).toMatch(/^fsverity-sha256-12:[0-9a-f]{64} {2}U8\[1\] {2}__proto__$/);
    expect(lines[3]).toMatch(/ {2}\\u\{202e\}gnp\.weights$/);
    const control = write('control.safetensors', safetensorsFile({ 'a\nb': {} }, 0));
    expect(await cli(['digest', '--tensors', control])).toMatchObject({ code: 2, stdout: '' });
  });

  it('the parts of one model may be named one by one; the same file or tensor twice is refused', async () => {
    const one = write('part-1.safetensors', tensorsOf([['a', 10]]));
    const two = write('part-2.safetensors', tensorsOf([['b', 10]], 2));
    const clash = write('part-3.safetensors', tensorsOf([['a', 10]], 3));
    const both = await manifest(one, two);
    expect(both.files.map(({ name }) => name)).toEqual([basename(one), basename(two)]);
    expect(both.tensors.map(({ name }) => name)).toEqual(['a', 'b']);
    for (const [files, told] of [
      [[one, one], '"part-1.safetensors" is there twice'],
      [[one, two, clash], '"part-3.safetensors" has the tensor "a" of another file'],
    ] as const) {
      const { code, stdout, stderr } = await cli(['digest', '--tensors', '--json', ...files]);
      expect([code, stdout]).toEqual([2, '']);
      expect(stderr).toContain(told);
    }
  });

  it('a manifest is printed whole or not at all: what cannot be read is named, exit code 2', async () => {
    const good = write('good.safetensors', tensorsOf([['a', 10]]));
    const raw = write('raw.bin', 'no model');
    const cut = write('cut.safetensors', tensorsOf([['a', 10]]).subarray(0, -1));
    const { code, stdout, stderr } = await cli([
      'digest',
      '--tensors',
      '--json',
      raw,
      good,
      cut,
      join(folder, 'absent'),
    ]);
    expect([code, stdout]).toEqual([2, '']);
    const lines = stderr.trimEnd().split('\n');
    expect(lines).toHaveLength(3);
    expect(lines[0]).toContain('is not a model with tensors: safetensors, GGUF and ONNX are known');
    expect(lines[1]).toContain('cut.safetensors');
    expect(lines[2]).toContain('absent');
  });

  it('stopped half-way it prints nothing', async () => {
    const path = write('stopped.safetensors', tensorsOf([['a', 3 * MIB]]));
    const signal = AbortSignal.abort();
    const { code, stdout } = await cli(['digest', '--tensors', '--json', path], { io: { signal } });
    expect([code, stdout]).toEqual([130, '']);
  });

  it('36,864 tensors in three files take seconds', { timeout: 60_000 }, async () => {
    const COUNT = 12_288;
    const weights: Record<string, string> = {};
    for (const part of [1, 2, 3]) {
      const file = `many-${part}.safetensors`;
      const sizes = Array.from(
        { length: COUNT },
        (_, i) => [`layers.${part}.experts.${i}.weight`, 1 + (i % 300)] as const,
      );
      for (const [name] of sizes) weights[name] = file;
      write(file, tensorsOf(sizes, part));
    }
    const index = write('many.safetensors.index.json', JSON.stringify({ weight_map: weights }));
    const started = performance.now();
    const { files, tensors } = await manifest(index);
    expect(performance.now() - started).toBeLessThan(45_000);
    expect([files.length, tensors.length]).toEqual([3, 3 * COUNT]);
    const bytes = await sliced(index);
    for (const { name, fsverity } of tensors.filter((_, i) => i % 1000 === 999)) {
      expect([name, fsverity]).toEqual([name, await fsverityOf(bytes.get(name) ?? new Uint8Array())]);
    }
  });
});
