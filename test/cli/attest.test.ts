import { createHash, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cli } from '../support/cli.js';
import { xorshiftBytes } from '../support/xorshift.js';

const NONCE = '0123456789abcdef'.repeat(2);
const BYTES = 50_000;

let folder: string;
let weights: string;
let key: string;
let pem: string;
let attestation: string;
let sha256: string;
const state = process.env['XDG_STATE_HOME'];

const make = (...args: string[]) =>
  cli(['attest', 'make', weights, '--nonce', NONCE, '--attestation-key', key, ...args]);
const verify = (...args: string[]) => cli(['attest', 'verify', attestation, '--public-key', pem, ...args]);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vram-attest-'));
  process.env['XDG_STATE_HOME'] = join(folder, 'state');
  weights = join(folder, 'weights.bin');
  key = join(folder, 'attestation.key');
  pem = join(folder, 'attestation.pem');
  attestation = join(folder, 'attestation.json');
  const bytes = xorshiftBytes(5, BYTES);
  sha256 = createHash('sha256').update(bytes).digest('hex');
  await writeFile(weights, bytes);
  expect((await make('--out', attestation)).code).toBe(0);
  await writeFile(pem, (await cli(['attest', 'key', '--attestation-key', key])).stdout);
});

afterAll(async () => {
  if (state === undefined) delete process.env['XDG_STATE_HOME'];
  else process.env['XDG_STATE_HOME'] = state;
  await rm(folder, { recursive: true });
});

describe('attest make', () => {
  it('prints an envelope of a statement, and makes a key that is its owner’s alone', async () => {
    const { code, stdout } = await make();
    expect(code).toBe(0);
    const envelope = JSON.parse(stdout);
    expect(Object.keys(envelope).sort()).toEqual(['payload', 'payloadType', 'signatures']);
    const { predicate } = JSON.parse(Buffer.from(envelope.payload, 'base64').toString());
    expect(predicate).toMatchObject({ nonce: NONCE, sha256, byteLength: BYTES, auditLog: null });
    expect((await stat(key)).mode & 0o777).toBe(0o600);
  });

  it('overwrites nothing', async () => {
    const before = await readFile(attestation, 'utf8');
    const { code, stderr } = await make('--out', attestation);
    expect(code).toBe(2);
    expect(stderr).toContain('it exists already');
    expect(await readFile(attestation, 'utf8')).toBe(before);
  });

  it('takes the head of the audit log in, and another key than the log’s', async () => {
    const token = join(folder, 'token');
    await writeFile(token, 'a token of enough bytes\n', { mode: 0o600 });
    const log = ['--audit', join(folder, 'log'), '--token-file', token, '--worker-id', 'w9'];
    const { code, stdout, stderr } = await make(...log);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const { predicate } = JSON.parse(Buffer.from(JSON.parse(stdout).payload, 'base64').toString());
    expect(predicate.auditLog.origin).toMatch(/^vram-residency\/w9\/[0-9a-f]{32}$/);
    expect(predicate.auditLog.checkpoint).toContain(`${predicate.auditLog.origin}\n`);
    // The checkpoint inside is one that the log still has to answer to.
    const checkpoint = join(folder, 'checkpoint');
    await writeFile(checkpoint, predicate.auditLog.checkpoint);
    const audited = await cli(['audit', 'verify', join(folder, 'log'), '--checkpoint', checkpoint]);
    expect(audited.stdout).toMatch(/^OK/);
    expect(audited.code).toBe(0);

    const checkpointKey = join(folder, 'state', 'vram-residency', 'checkpoint-w9.key');
    const shared = await cli([
      ...['attest', 'make', weights, '--nonce', NONCE, '--attestation-key', checkpointKey, ...log],
    ]);
    expect(shared.code).toBe(2);
    expect(shared.stderr).toContain('one of their own');
    const copied = join(folder, 'copied.key');
    await writeFile(copied, await readFile(checkpointKey), { mode: 0o600 });
    const copy = await cli([
      'attest',
      'make',
      weights,
      '--nonce',
      NONCE,
      '--attestation-key',
      copied,
      ...log,
    ]);
    expect(copy.code).toBe(2);
    const inside = await make(...log, '--attestation-key', join(folder, 'log', 'x.key'));
    expect(inside.code).toBe(2);
    expect(inside.stderr).toContain('outside');
  });

  it('does not make the log’s key, where it is the one that is named', async () => {
    const file = join(folder, 'state', 'vram-residency', 'checkpoint-nobody.key');
    const { code } = await cli([
      ...['attest', 'make', weights, '--nonce', NONCE, '--worker-id', 'nobody', '--attestation-key', file],
    ]);
    expect(code).toBe(2);
    await expect(stat(file)).rejects.toThrow(/ENOENT/);
  });

  it('uses a key in the state directory where none is named', async () => {
    expect((await cli(['attest', 'make', weights, '--nonce', NONCE])).code).toBe(0);
    const file = join(folder, 'state', 'vram-residency', 'attestation-cli.key');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
  });

  it.each([
    [['--nonce', '00'], /hexadecimal/],
    [['--nonce', 'xy'.repeat(16)], /hexadecimal/],
    [['--nonce', '0'.repeat(33)], /hexadecimal/],
    [['--nonce', '00'.repeat(65)], /hexadecimal/],
  ])('2: %j', async (args, complaint) => {
    const { code, stderr } = await cli(['attest', 'make', weights, ...args]);
    expect(code).toBe(2);
    expect(stderr).toMatch(complaint);
  });

  it('2: without a nonce; a key that others may read; 1: unexpected bytes; 3: host memory under vram-only', async () => {
    expect((await cli(['attest', 'make', weights])).code).toBe(2);
    const wide = join(folder, 'wide.key');
    await writeFile(wide, await readFile(key), { mode: 0o600 });
    await chmod(wide, 0o640);
    const { code, stderr } = await make('--attestation-key', wide);
    expect(code).toBe(2);
    expect(stderr).toContain('chmod 600');
    expect((await make('--expect', `sha256:${'0'.repeat(64)}`)).code).toBe(1);
    expect((await make('--policy', 'vram-only')).code).toBe(3);
  });
});

describe('attest key', () => {
  it('prints a public key that openssl and node read', async () => {
    const text = await readFile(pem, 'utf8');
    expect(text).toMatch(/^-----BEGIN PUBLIC KEY-----\n[\s\S]+-----END PUBLIC KEY-----\n$/);
    expect(createPublicKey(text).asymmetricKeyType).toBe('ed25519');
    const json = await cli(['attest', 'key', '--attestation-key', key, '--json']);
    expect(JSON.parse(json.stdout)).toEqual({ v: 1, publicKey: text });
  });
});

describe('attest verify', () => {
  it('0: says what is proved, by whom, and what is not', async () => {
    const { code, stdout, stderr } = await verify(
      '--nonce',
      NONCE,
      '--max-age',
      '3600',
      '--expect',
      `sha256:${sha256}`,
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain('HOST MEMORY, NOT VRAM');
    expect(stdout).toContain(sha256);
    expect(stdout).toContain('signed by  the software of the host that this statement describes');
    const json = await verify('--nonce', NONCE.toUpperCase(), '--json');
    expect(json.code).toBe(0);
    expect(JSON.parse(json.stdout)).toMatchObject({
      v: 1,
      ok: true,
      fresh: true,
      statement: { predicate: { nonce: NONCE, sha256 } },
    });
  });

  it('2: without a nonce, unless that is said aloud', async () => {
    const { code, stderr } = await verify();
    expect(code).toBe(2);
    expect(stderr).toContain('--no-nonce');
    const without = await verify('--no-nonce');
    expect(without.code).toBe(0);
    expect(without.stdout).toContain('NOT CHECKED');
  });

  it.each<[string, () => string[], number, RegExp]>([
    ['another nonce', () => ['--nonce', 'f'.repeat(32)], 1, /another nonce/],
    [
      'another digest',
      () => ['--nonce', NONCE, '--expect', `sha256:${'0'.repeat(64)}`],
      1,
      /SOURCE_MISMATCH/,
    ],
    ['a digest that is none', () => ['--nonce', NONCE, '--expect', 'sha256:00'], 2, /64 hexadecimal/],
    ['an age that is none', () => ['--nonce', NONCE, '--max-age', '-1'], 2, /whole number/],
  ])('%s', async (_what, args, expected, complaint) => {
    const { code, stderr } = await verify(...args());
    expect(stderr).toMatch(complaint);
    expect(code).toBe(expected);
  });

  it('1: too old', async () => {
    const old = join(folder, 'old.json');
    await new Promise((resolve) => setTimeout(resolve, 5));
    await writeFile(old, await readFile(attestation));
    const { code, stderr } = await verify('--nonce', NONCE, '--max-age', '0');
    expect(stderr).toContain('are allowed');
    expect(code).toBe(1);
  });

  it('1: changed, signed by another, or no attestation at all; the document says so too', async () => {
    const other = join(folder, 'other.pem');
    const { publicKey } = generateKeyPairSync('ed25519');
    await writeFile(other, publicKey.export({ type: 'spki', format: 'pem' }));
    const stranger = await cli(['attest', 'verify', attestation, '--public-key', other, '--nonce', NONCE]);
    expect(stranger.code).toBe(1);
    const bad = join(folder, 'bad.json');
    for (const text of ['', '{}', 'x'.repeat(1000), '\u0000']) {
      await writeFile(bad, text);
      const { code, stdout } = await cli([
        ...['attest', 'verify', bad, '--public-key', pem, '--nonce', NONCE, '--json'],
      ]);
      expect(code).toBe(1);
      expect(JSON.parse(stdout)).toMatchObject({ ok: false, error: { code: 'SEAL_VERIFICATION_FAILED' } });
    }
  });

  it('2: files that cannot be read, are too large, or are other keys than asked for', async () => {
    const run = (file: string, publicKey: string) =>
      cli(['attest', 'verify', file, '--public-key', publicKey, '--nonce', NONCE]);
    expect((await run(join(folder, 'absent'), pem)).code).toBe(2);
    expect((await run(attestation, join(folder, 'absent'))).code).toBe(2);
    expect((await run(folder, pem)).code).toBe(2);
    const large = join(folder, 'large');
    await writeFile(large, 'x'.repeat(2 ** 21 + 1));
    expect((await run(large, pem)).stderr).toContain('is larger than 2097152 bytes');
    const secret = await run(attestation, key);
    expect(secret.code).toBe(2);
    expect(secret.stderr).toContain('public key');
    const rsa = join(folder, 'rsa.pem');
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    await writeFile(rsa, publicKey.export({ type: 'spki', format: 'pem' }));
    expect((await run(attestation, rsa)).stderr).toContain('Ed25519');
    await writeFile(rsa, '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n');
    expect((await run(attestation, rsa)).code).toBe(2);
    await mkdir(join(folder, 'dir'), { recursive: true });
    expect((await run(attestation, join(folder, 'dir'))).code).toBe(2);
  });
});
