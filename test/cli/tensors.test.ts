import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { manifestBytes, tensorSource } from '../../src/models/index.js';
import { openModel } from '../../src/node/files/model-files.js';
import { ggufFile, ggufTensor, safetensorsFile } from '../fuzz/build.mjs';
import { cli } from '../support/cli.js';
import { FIXTURE_FILES, fixtures } from '../support/fixtures.js';
import { fsverityOf } from '../support/fsverity.js';
import { collect } from '../support/tensor-model.js';
import { testWebGpuBackend } from '../support/vulkan.js';

const folder = mkdtempSync(join(tmpdir(), 'vram-cli-tensors-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const model = (format: keyof typeof FIXTURE_FILES, name = 'silero'): string =>
  join(fixtures(), name, FIXTURE_FILES[format]);
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

async function json(...args: readonly string[]) {
  const { code, stdout, stderr } = await cli(args);
  return { code, stderr, document: JSON.parse(stdout) };
}

/** Runs `digest` and keeps what it prints in a file. */
async function listOf(path: string, ...more: readonly string[]): Promise<string> {
  const { code, stdout } = await cli(['digest', '--tensors', '--json', ...more, path]);
  expect(code).toBe(0);
  const list = join(
    folder,
    `${createHash('md5')
      .update(path + more.join())
      .digest('hex')}.json`,
  );
  writeFileSync(list, stdout);
  return list;
}

describe('digest --tensors --layout tensors', () => {
  it.each(['external', 'sharded', 'gguf'] as const)(
    'says what the packed tensors are: %s',
    async (format) => {
      const { code, document } = await json('digest', '--tensors', '--layout', 'tensors', model(format));
      expect(code).toBe(0);
      const source = tensorSource(await openModel(model(format)));
      const packed = await collect(source.stream({ chunkBytes: 2 ** 20 }));
      expect(document.packed).toEqual({
        byteLength: packed.length,
        fsverity: await fsverityOf(packed),
        manifestSha256: sha256(manifestBytes(source.manifest)),
      });
      const plain = await json('digest', '--tensors', '--json', model(format));
      expect({ ...document, packed: null }).toEqual(plain.document);
    },
  );

  it.each([
    [['digest', '--layout', 'tensors', model('single')], '--layout is tensors, which needs --tensors'],
    [['digest', '--format', 'raw', model('single')], '--format needs --tensors'],
    [['digest', '--tensors', '--format', 'raw', model('single')], 'is not a model with tensors'],
    [['digest', '--tensors', '--format', 'gguf', model('single')], 'does not start with GGUF'],
    [['check', '--min-bytes', '4096', model('single')], '--min-bytes needs --layout tensors'],
    [['check', '--layout', 'tensors', '--format', 'raw', model('single')], '"model" has no tensor to pack'],
    [['check', '--layout', 'rows', model('single')], "'rows' is invalid"],
  ])('refuses %j', async (args, message) => {
    const { code, stderr } = await cli(args);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  });
});

describe('check --layout tensors', () => {
  it('seals a model of several files as one shard and lists its tensors', async () => {
    const path = model('sharded');
    const { code, document, stderr } = await json(
      'check',
      '--layout',
      'tensors',
      '--tensors',
      '--json',
      path,
    );
    expect(code, stderr).toBe(0);
    const { shards } = await openModel(path);
    const [row] = document.shards;
    expect(document.shards).toHaveLength(1);
    expect(row).toMatchObject({
      file: path,
      verified: true,
      layout: 'tensors',
      manifestSha256: expect.stringMatching(/^[0-9a-f]{64}$/),
      files: shards.map(({ label, byteLength, path: file }) => ({
        name: label,
        byteLength,
        sha256: sha256(readFileSync(file)),
      })),
    });
    const { manifest } = tensorSource(await openModel(path));
    expect(row.tensors).toEqual(manifest.tensors);
    expect(row).toMatchObject({ tensorCount: manifest.tensors.length, buffers: 1 });
    expect(stderr).toContain(
      `packed    ${manifest.tensors.length} tensors of ${shards.length} files in one buffer, `,
    );
    expect(stderr).toContain(' at 0\n');
  });

  it('takes a list of the published files, a model list, and a digest', async () => {
    const path = model('sharded');
    const { shards } = await openModel(path);
    const sums = join(folder, 'SHA256SUMS');
    const write = (change: (digest: string, name: string) => string): void =>
      writeFileSync(
        sums,
        shards
          .map(({ label, path: file }) => `${change(sha256(readFileSync(file)), label)}  ${label}\n`)
          .join(''),
      );
    const run = async (expect_: string): Promise<number> =>
      (await cli(['check', '--layout', 'tensors', '--expect', expect_, path])).code;
    write((digest) => digest);
    expect(await run(sums)).toBe(0);
    write((digest, name) => (name === shards[1]?.label ? '0'.repeat(64) : digest));
    expect(await run(sums)).toBe(1);
    const list = await listOf(path, '--layout', 'tensors');
    expect(await run(list)).toBe(0);
    expect(await run(await listOf(path))).toBe(0);
    const byDevice = ['check', '--layout', 'tensors', '--hashing', 'device', '--expect'];
    expect((await cli([...byDevice, list, path])).code).toBe(0);
    // Only a packed digest says what the device must find.
    expect((await cli([...byDevice, sums, path])).code).toBe(2);
    const { packed } = JSON.parse(readFileSync(list, 'utf8'));
    expect(await run(packed.fsverity)).toBe(0);
    expect(await run(`fsverity-sha256-12:${'0'.repeat(64)}`)).toBe(1);
  });

  it('takes no list of another model, nor one of other packed bytes', async () => {
    const path = model('single');
    const list = JSON.parse(readFileSync(await listOf(path, '--layout', 'tensors'), 'utf8'));
    const changed = join(folder, 'changed.json');
    const run = async (value: unknown) => {
      writeFileSync(changed, JSON.stringify(value));
      return await cli(['check', '--layout', 'tensors', '--expect', changed, path]);
    };
    const other = await run({ ...list, packed: { ...list.packed, manifestSha256: '0'.repeat(64) } });
    expect([other.code, other.stderr]).toEqual([2, expect.stringContaining('is a list of another model')]);
    const bytes = { ...list.packed, fsverity: `fsverity-sha256-12:${'0'.repeat(64)}` };
    expect((await run({ ...list, packed: bytes })).code).toBe(1);
    const [file] = list.files;
    const renamed = await run({ ...list, files: [{ ...file, name: 'other.safetensors' }] });
    expect([renamed.code, renamed.stderr]).toEqual([2, expect.stringContaining('does not name the file')]);
    const longer = await run({ ...list, files: [{ ...file, byteLength: file.byteLength + 1 }] });
    expect([longer.code, longer.stderr]).toEqual([
      1,
      expect.stringMatching(`has ${file.byteLength} bytes.*, expected ${file.byteLength + 1} bytes`),
    ]);
    const packed = await run({ ...list, packed: { ...list.packed, byteLength: 1 } });
    expect([packed.code, packed.stderr]).toEqual([2, expect.stringContaining('is a list of another model')]);
    const file0 = { ...file, fsverity: `fsverity-sha256-12:${'0'.repeat(64)}` };
    expect((await run({ ...list, files: [file0] })).code).toBe(1);
    expect((await run(list)).code).toBe(0);
  });

  it('takes a model list for plain files too, and says of a file of another size what it has', async () => {
    const path = model('external');
    const list = await listOf(path);
    const run = async (change: (file: Record<string, unknown>) => void) => {
      const value = JSON.parse(readFileSync(list, 'utf8'));
      change(value.files[0]);
      const changed = join(folder, 'changed.json');
      writeFileSync(changed, JSON.stringify(value));
      return await cli(['check', '--expect', changed, path]);
    };
    expect((await run(() => undefined)).code).toBe(0);
    const digest = await run((file) =>
      Object.assign(file, { fsverity: `fsverity-sha256-12:${'0'.repeat(64)}` }),
    );
    expect([digest.code, digest.stderr]).toEqual([
      1,
      expect.stringContaining('expected fsverity-sha256-12:0'),
    ]);
    const size = await run((file) => Object.assign(file, { byteLength: 7 }));
    expect([size.code, size.stderr]).toEqual([
      1,
      expect.stringMatching(/the file has \d+ bytes.*expected 7 bytes/),
    ]);
  });

  it('takes the size in a Git LFS pointer at its word', async () => {
    const path = model('single');
    const bytes = readFileSync(path);
    const pointer = join(folder, 'pointer');
    const run = async (size: number) => {
      writeFileSync(
        pointer,
        `version https://git-lfs.github.com/spec/v1\noid sha256:${sha256(bytes)}\nsize ${size}\n`,
      );
      return await cli(['check', '--expect', pointer, path]);
    };
    expect((await run(bytes.length)).code).toBe(0);
    expect((await run(bytes.length + 1)).code).toBe(1);
  });

  it.each([
    ['no version', ({ v: _, ...rest }: Record<string, unknown>) => rest, 'has no "v"'],
    ['another version', (list: Record<string, unknown>) => ({ ...list, v: 2 }), 'has another version than 1'],
    ['no files', (list: Record<string, unknown>) => ({ ...list, files: [] }), 'lists no file'],
    [
      'a file without a digest',
      (list: Record<string, unknown>) => ({ ...list, files: [{ name: 'a', byteLength: 1 }] }),
      '"fsverity"',
    ],
    [
      'a file without a size',
      (list: Record<string, unknown>) => ({ ...list, files: [{ name: 'a' }] }),
      'without "byteLength"',
    ],
    [
      'a file twice',
      (list: Record<string, unknown>) => ({ ...list, files: [list['files'], list['files']].flat() }),
      'twice',
    ],
    [
      'a packed digest of another kind',
      (list: Record<string, unknown>) => ({
        ...list,
        packed: { byteLength: 1, fsverity: 'sha256:00', manifestSha256: '' },
      }),
      '"fsverity"',
    ],
    ['text behind it', null, 'text after its JSON'],
  ])('refuses a model list with %s', async (_name, change, message) => {
    const path = model('single');
    const text = readFileSync(await listOf(path), 'utf8');
    const bad = join(folder, 'bad.json');
    writeFileSync(bad, change === null ? `${text}x` : JSON.stringify(change(JSON.parse(text))));
    const { code, stderr } = await cli(['check', '--expect', bad, path]);
    expect([code, stderr]).toEqual([2, expect.stringContaining(message)]);
  });
});

const webgpu = await testWebGpuBackend();

describe('check --layout tensors on WebGPU', () => {
  const small = join(folder, 'small.safetensors');
  const header = {
    a: { dtype: 'U8', shape: [5000], data_offsets: [0, 5000] },
    b: { dtype: 'U8', shape: [77], data_offsets: [5000, 5077] },
    c: { dtype: 'U8', shape: [3], data_offsets: [5077, 5080] },
  };
  writeFileSync(small, safetensorsFile(header, new Uint8Array(5080).fill(3)));
  const skipped = webgpu === null ? ' (SKIPPED: not on this machine)' : '';

  it.skipIf(webgpu === null)(
    `tells the buffers that small tensors share${skipped}`,
    { timeout: 60_000 },
    async () => {
      if (webgpu === null) return;
      const args = ['check', '--device', 'webgpu:0', '--layout', 'tensors', '--min-bytes', '4096', '--json'];
      const { code, stdout, stderr } = await cli([...args, small], { backends: [webgpu] });
      expect(code, stderr).toBe(0);
      expect(JSON.parse(stdout).shards[0]).toMatchObject({
        tensorCount: 3,
        buffers: 2,
        paddingBytes: 11_304,
      });
      expect(stderr).toContain('packed    3 tensors of 1 file in 2 buffers, ');
    },
  );
});

describe('drill --layout tensors', () => {
  it('names the tensors that it damaged, and heals them from all files', async () => {
    const path = model('sharded');
    const args = ['drill', path, '--layout', 'tensors', '--flips', '5', '--seed', '3', '--json'];
    const { code, document, stderr } = await json(...args);
    expect(code, stderr).toBe(0);
    expect(document).toMatchObject({ ok: true, detected: true, healed: true, reverified: true });
    const flipped = new Set(document.flips.map(({ tensor }: { tensor: string }) => tensor));
    expect(new Set(document.damagedTensors)).toEqual(flipped);
    expect(stderr).toContain(` of byte ${document.flips[0].byteInTensor} of ${document.flips[0].tensor}`);
    expect(stderr).toMatch(/ {2}in {8}\d+ tensors?: /);
  });

  it('without it names no tensor, and says how a model of several files is drilled', async () => {
    const single = await json('drill', model('single'), '--seed', '3', '--json');
    expect(single.code).toBe(0);
    expect(Object.keys(single.document.flips[0]).sort()).toEqual(['bit', 'byte']);
    expect(single.document).not.toHaveProperty('damagedTensors');
    const several = await cli(['drill', model('sharded')]);
    expect([several.code, several.stderr]).toEqual([2, expect.stringContaining('--layout tensors')]);
  });
});

describe('--format', () => {
  it('reads a file whose name says otherwise', async () => {
    const path = join(folder, 'weights.bin');
    writeFileSync(path, readFileSync(model('single')));
    const raw = await json('check', '--tensors', '--json', path);
    expect(raw.document.shards[0].tensors).toEqual([]);
    const { code, document } = await json('check', '--tensors', '--json', '--format', 'safetensors', path);
    expect(code).toBe(0);
    expect(document.shards[0].tensors.length).toBeGreaterThan(0);
    expect(basename(document.shards[0].file)).toBe('weights.bin');
    const drilled = await json('drill', path, '--format', 'safetensors', '--layout', 'tensors', '--json');
    expect(drilled.document.flips[0]).toHaveProperty('tensor');
  });
});

describe('a GGUF type that is not known here', () => {
  const path = join(folder, 'unknown.gguf');
  const tensor = (name: string, offset: number) => ggufTensor({ name, dims: [256, 2], type: 139, offset });
  writeFileSync(path, ggufFile({ tensors: [tensor('a', 0), tensor('b', 320)], data: 640 }));
  const NOTE = '2 tensors are of a type not known here (TYPE_139): taken to reach up to the next tensor';

  it.each([[['--layout', 'bytes']], [['--layout', 'tensors', '--min-bytes', '4096']]])(
    'is sealed with a note: check %j',
    async (more) => {
      const { code, stdout } = await cli(['check', path, '--tensors', ...more]);
      expect(code).toBe(0);
      expect(stdout).toContain(`  note      ${NOTE}\n`);
      expect(stdout).toContain('  tensor    b  TYPE_139 [256, 2]  320 B at ');
    },
  );

  it('is digested with a note', async () => {
    const { code, stdout, stderr } = await cli(['digest', '--tensors', path]);
    expect([code, stderr]).toEqual([0, `note: ${NOTE}\n`]);
    expect(stdout.split('\n')[0]).toBe(`${await fsverityOf(new Uint8Array(320))}  TYPE_139[256,2]  a`);
  });
});
