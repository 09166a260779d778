import { rmSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { cli, program } from '../support/cli.js';
import { cliWeights } from '../support/cli-weights.js';

const { folder, weights } = cliWeights();

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
