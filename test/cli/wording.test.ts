import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { hostBackend } from '../../src/device/host/index.js';
import type { Backend } from '../../src/device/types.js';
import { hostIsForced } from '../../src/node/devices/force-host.js';
import { createNodeEngine } from '../../src/node/digest/create-engine.js';
import { cli } from '../support/cli.js';
import { refusal } from '../support/refusal.js';

let folder: string;
let weights: string;
let token: string;
let statement: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vram-wording-'));
  vi.stubEnv('XDG_STATE_HOME', join(folder, 'state'));
  weights = join(folder, 'weights.bin');
  token = join(folder, 'token');
  statement = join(folder, 'proof.json');
  await writeFile(weights, new Uint8Array(8192).fill(7));
  await writeFile(token, 'correct horse battery staple', { mode: 0o600 });
  await writeFile(statement, 'no proof');
  await writeFile(join(folder, 'empty'), '');
  await mkdir(join(folder, 'open'));
  await mkdir(join(folder, 'parts'));
  await writeFile(join(folder, 'parts/model.safetensors.index.json'), '{"weight_map":{"a":"1.safetensors"}}');
  await chmod(join(folder, 'open'), 0o777);
  const log = ['--audit', join(folder, 'log'), '--token-file', token];
  expect((await cli(['check', weights, ...log])).code).toBe(0);
});

afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true });
});

/** Words of arguments that stand for files of the test's folder. */
function placed(args: readonly string[]): string[] {
  return args.map((arg) => arg.replace(/^@/, `${folder}/`));
}

const JUNK = 'is neither a line that "audit key" prints nor a file that can be read';

describe('messages', () => {
  it.each<[readonly string[], number, string]>([
    [['check', '@weights.bin', '--budget', '10'], 4, 'for verification scratch; raise --budget'],
    [['check', '@weights.bin', '--token-file', '@none'], 2, '--token-file "@none" cannot be read: ENOENT'],
    [['check', '@weights.bin', '--token-file', '@'], 2, '--token-file "@" cannot be read: EISDIR'],
    [['check', '@weights.bin', '--audit', '@other'], 2, '--audit "@other" needs --token-file'],
    [
      ['check', '@weights.bin', '--expect', 'sha256:00'],
      2,
      '--expect "sha256:00" must have 64 hexadecimal digits',
    ],
    [
      ['check', '@weights.bin', '--expect', '@none'],
      2,
      '--expect "@none" is not a digest, and as a file cannot be opened',
    ],
    [['check', '@none'], 2, '@none: names nothing that exists'],
    [['check', '@none', '@weights.bin'], 2, '@none: names nothing that exists'],
    // With nothing behind it: how the file was looked up is of no use to anybody.
    [
      ['check', '@parts'],
      2,
      '"1.safetensors" is named by the model but cannot be found in its folder [INVALID',
    ],
    [['drill', '@none'], 2, '"@none" names nothing that exists'],
    [['digest', '@none'], 2, '@none: cannot be opened: "@none": no such file'],
    [['drill', '@empty'], 2, 'is empty'],
    [
      ['drill', '@weights.bin', '--pattern', 'pair', '--area', 'both'],
      2,
      '--pattern has "pair", which needs --area data',
    ],
    [['drill', '@weights.bin', '--area', 'padding'], 2, '--area is padding, but the last byte'],
    [
      ['drill', '@weights.bin', '--pattern', ...Array<string>(6).fill('bit')],
      2,
      '--pattern must be given 5 times at most',
    ],
    [['audit', 'verify', '@none'], 2, '"@none" cannot be read as an audit log\'s directory'],
    [['audit', 'verify', '@weights.bin'], 2, '"@weights.bin" cannot be read as an audit log\'s directory'],
    [['audit', 'show', '@weights.bin'], 2, '"@weights.bin" cannot be read as an audit log\'s directory'],
    [['audit', 'key', '@weights.bin'], 2, '"@weights.bin" cannot be read as an audit log\'s directory'],
    [
      ['audit', 'prove', '@weights.bin', '--seq', '0'],
      2,
      '"@weights.bin" cannot be read as an audit log\'s directory',
    ],
    [
      ['audit', 'export', '@weights.bin', '@tiles'],
      2,
      '"@weights.bin" cannot be read as an audit log\'s directory',
    ],
    [['audit', 'verify', '@log', '--verifier-key', 'junk'], 2, `--verifier-key "junk" ${JUNK}`],
    [['audit', 'verify', '@log', '--key-file', '@none'], 2, '--key-file "@none" is not there'],
    [['audit', 'verify', '@log', '--checkpoint', '@none'], 2, '--checkpoint "@none" cannot be read: ENOENT'],
    [['audit', 'prove', '@log'], 2, '--seq and --since: exactly one of them must be given'],
    [['audit', 'prove', '@log', '--seq', '999'], 2, '--seq must be below'],
    [['audit', 'verify-proof', '@proof.json'], 2, '"@proof.json" needs a value'],
    [['audit', 'show', '@log', '--since', 'soon'], 2, '--since must be a date'],
    [
      ['check', '@weights.bin', '--audit', '@open', '--token-file', '@token'],
      2,
      '--audit "@open" is not safe to keep a log in: it can be written by everybody',
    ],
    [['attest', 'key', '--attestation-key', '@'], 2, '--attestation-key "@" must name a regular file'],
    [
      ['attest', 'verify', '@none', '--public-key', '@none', '--no-nonce'],
      2,
      '--public-key "@none" cannot be read',
    ],
  ])('of %j name the option and what was given', async (args, expected, message) => {
    const { code, stderr } = await cli(placed(args));
    expect(stderr).toContain(message.replaceAll('@', `${folder}/`));
    expect(stderr).not.toMatch(
      /budgetBytes|maxShardBytes|"(dir|keyFile|verifierKey|expected|patterns|token-file|path)"/,
    );
    expect(code).toBe(expected);
  });

  it('a log without its key asks for one by the names of the options', async () => {
    vi.stubEnv('XDG_STATE_HOME', join(folder, 'elsewhere'));
    try {
      const { code, stderr } = await cli(['audit', 'verify', join(folder, 'log')]);
      expect(stderr).toContain('--verifier-key or ');
      expect(stderr).not.toContain('"');
      expect(code).toBe(2);
    } finally {
      vi.stubEnv('XDG_STATE_HOME', join(folder, 'state'));
    }
  });

  it('in JSON they name the option too, and repeat no path', async () => {
    const { stdout } = await cli(['check', weights, '--token-file', join(folder, 'none'), '--json']);
    expect(JSON.parse(stdout).error).toEqual({
      code: 'INVALID_INPUT',
      message: '--token-file cannot be read: ENOENT',
    });
  });

  it.runIf(process.platform !== 'win32')(
    'a key of the log that others can read is not taken for the attestation key',
    async () => {
      const key = join(folder, 'state', 'vram-residency', 'checkpoint-cli.key');
      await chmod(key, 0o644);
      try {
        const { code, stderr } = await cli([
          ...['check', weights, '--audit', join(folder, 'log'), '--token-file', token],
        ]);
        expect(stderr).toContain(
          "the key file of the audit log's checkpoints can be read or written by others",
        );
        expect(code).toBe(2);
      } finally {
        await chmod(key, 0o600);
      }
    },
  );
});

describe('a token file', () => {
  it.runIf(process.platform !== 'win32').each(['640', '604', '620', '666'])(
    '[CI-006] of mode 0%s is refused before it is read, as a key file is',
    async (mode) => {
      const file = join(folder, 'open-token');
      await writeFile(file, 'correct horse battery staple');
      await chmod(file, Number.parseInt(mode, 8));
      for (const args of [
        ['check', weights, '--token-file', file],
        ['audit', 'verify', join(folder, 'log'), '--token-file', file],
        ['audit', 'prune', join(folder, 'log'), '--token-file', file],
      ]) {
        const { code, stderr } = await cli(args);
        expect(stderr).toBe(
          `error: --token-file "${file}" can be read or written by others; make it private (chmod 600) [INVALID_INPUT]\n`,
        );
        expect(code).toBe(2);
      }
    },
  );
});

describe('a drill that cannot be', () => {
  it('opens no device and seals nothing', async () => {
    const host = hostBackend();
    let opened = 0;
    const counting: Backend = {
      kind: 'host',
      list: () => host.list(),
      problem: () => host.problem(),
      open: (...args) => {
        opened += 1;
        return host.open(...args);
      },
    };
    const args = ['drill', weights, '--pattern', 'pair', '--area', 'both', '--json'];
    const { code, stdout, stderr } = await cli(args, { backends: [counting] });
    expect({ code, opened }).toEqual({ code: 2, opened: 0 });
    expect(JSON.parse(stdout)).toMatchObject({ ok: false, shards: [], error: { code: 'INVALID_INPUT' } });
    expect(stderr).not.toContain('sealed');
  });
});

describe('environment variables', () => {
  it.each(['1', 'true', 'yes', 'TRUE'])('VRAM_RESIDENCY_FORCE_HOST=%s forces mock mode', async (value) => {
    expect(hostIsForced({ VRAM_RESIDENCY_FORCE_HOST: value })).toBe(true);
    const io = { env: { VRAM_RESIDENCY_FORCE_HOST: value } };
    const forced = await cli(['check', weights, '--device', 'webgpu:0'], { io });
    expect(forced.stderr).toContain('mock mode');
    expect(forced.code).toBe(2);
  });

  it.each([undefined, '', '0', 'false', 'no'])('VRAM_RESIDENCY_FORCE_HOST=%s does not', (value) => {
    expect(hostIsForced({ VRAM_RESIDENCY_FORCE_HOST: value })).toBe(false);
  });

  it.each(['2', 'on', ' 1', 'ja\u001b'])(
    'VRAM_RESIDENCY_FORCE_HOST=%j is refused by every command that would obey it',
    async (value) => {
      expect(await refusal(() => hostIsForced({ VRAM_RESIDENCY_FORCE_HOST: value }))).toMatch(
        /^INVALID_INPUT/,
      );
      const io = { env: { VRAM_RESIDENCY_FORCE_HOST: value } };
      for (const args of [['check', weights], ['drill', weights], ['selftest'], ['bench']]) {
        const { code, stderr } = await cli(args, { io });
        expect(stderr).toBe(
          `error: VRAM_RESIDENCY_FORCE_HOST must be 1, true, yes, 0, false or no, got ${JSON.stringify(value)} ` +
            `[INVALID_INPUT]\n`,
        );
        expect(code).toBe(2);
      }
    },
  );

  it('VRAM_RESIDENCY_DIGEST: the value is shown', () => {
    const before = process.env['VRAM_RESIDENCY_DIGEST'];
    process.env['VRAM_RESIDENCY_DIGEST'] = 'foo';
    try {
      expect(() => createNodeEngine()).toThrow('must be one of native, wasm, hash-wasm, got "foo"');
    } finally {
      if (before === undefined) delete process.env['VRAM_RESIDENCY_DIGEST'];
      else process.env['VRAM_RESIDENCY_DIGEST'] = before;
    }
  });
});

describe('a device that is not there', () => {
  const withoutDriver = (kind: 'cuda' | 'webgpu'): Backend => ({
    kind,
    list: () => Promise.resolve([]),
    problem: () =>
      Promise.resolve({ backend: kind, code: 'DEVICE_UNAVAILABLE', message: 'no driver', failed: false }),
    open: () => Promise.reject(new Error('not reached')),
  });
  const present = (kind: 'cuda' | 'webgpu'): Backend => {
    const host = hostBackend();
    return {
      kind,
      list: async () => (await host.list()).map((info) => ({ ...info, backend: kind })),
      problem: () => Promise.resolve(null),
      open: () => Promise.reject(new Error('not reached')),
    };
  };

  it.each(['cuda', 'webgpu'] as const)(
    '%s: 5 where nothing drives any, 2 for an index beyond those that are',
    async (kind) => {
      const none = await cli(['check', weights, '--device', `${kind}:0`], {
        backends: [withoutDriver(kind)],
      });
      expect(none).toMatchObject({ code: 5, stderr: expect.stringContaining('no driver') });
      const other = await cli(['check', weights, '--device', `${kind}:3`], { backends: [present(kind)] });
      expect(other).toMatchObject({ code: 2, stderr: expect.stringContaining(`devices present: ${kind}:0`) });
    },
  );
});
