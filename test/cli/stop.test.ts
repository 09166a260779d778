import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { existsSync, openSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Stop } from '../../src/cli/stop.js';
import { cli, ended, program, startProgram } from '../support/cli.js';
import { xorshiftBytes } from '../support/xorshift.js';

const MAIN = fileURLToPath(new URL('../../dist/bundle/lib/main.js', import.meta.url));
const FULL = '/dev/full';

let folder: string;
let weights: string;
let big: string;
let token: string;
let env: Record<string, string>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vram-stop-'));
  weights = join(folder, 'weights.bin');
  big = join(folder, 'big.bin');
  token = join(folder, 'token');
  await writeFile(weights, xorshiftBytes(7, 100_000));
  await writeFile(big, '');
  await truncate(big, 4 * 1024 ** 3);
  await writeFile(token, 'correct horse battery staple', { mode: 0o600 });
  env = { XDG_STATE_HOME: join(folder, 'state'), VRAM_RESIDENCY_FORCE_HOST: '1' };
});

afterAll(() => rm(folder, { recursive: true }));

const audited = (dir: string): string[] => ['--audit', dir, '--token-file', token];

async function expectClosed(dir: string): Promise<void> {
  const names = await readdir(dir);
  expect(names.filter((name) => /^lock\.\d+$/.test(name))).toEqual([]);
  const segment = names.find((name) => name.endsWith('.ndjson')) ?? '';
  const last = (await readFile(join(dir, segment), 'utf8')).trimEnd().split('\n').at(-1) ?? '';
  expect(JSON.parse(last)).toMatchObject({ type: 'audit.closed' });
  expect((await program(['audit', 'verify', dir, '--token-file', token], env)).code).toBe(0);
}

/** Exactly what the program exits with: a death by signal is none. */
async function statusOf(child: ChildProcess): Promise<number | null> {
  return await new Promise((resolve) => child.once('close', (status) => resolve(status)));
}

describe('a run that is stopped from outside', () => {
  it.each(['SIGHUP', 'SIGINT', 'SIGTERM'] as const)(
    '%s: closes the audit log, and exits 128 + its number',
    async (signal) => {
      const dir = join(folder, signal);
      const child = startProgram(['check', big, ...audited(dir)], env);
      child.stdout?.once('data', () => child.kill(signal));
      const { code, stderr } = await ended(child);
      expect(stderr).toContain('[ABORTED]');
      expect(code).toBe(128 + constants.signals[signal]);
      await expectClosed(dir);
    },
  );

  it('a signal that comes twice at once, as npx passes it on, is one', async () => {
    const dir = join(folder, 'twice');
    const child = startProgram(['check', big, ...audited(dir)], env);
    child.stdout?.once('data', () => {
      child.kill('SIGINT');
      setTimeout(() => child.kill('SIGINT'), 5);
    });
    const [status, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) =>
      child.once('close', (...how) => resolve(how)),
    );
    // On a busy machine the second may come when all is done and Node has taken its handlers down: a shell sees 130 then
    // too.
    expect(signal ?? status).toBe(signal === null ? 130 : 'SIGINT');
    await expectClosed(dir);
  });

  it('a second signal, later, does not wait for what the first one tidies up', async () => {
    // Something that never ends.
    const stuck = { NODE_OPTIONS: '--import=data:text/javascript,setInterval(()=>undefined,1000)' };
    const child = startProgram(['check', big], { ...env, ...stuck });
    let stderr = '';
    child.stderr?.on('data', (data: Uint8Array) => {
      stderr += new TextDecoder().decode(data);
      if (stderr.includes('[ABORTED]')) setTimeout(() => child.kill('SIGTERM'), 600);
    });
    child.stdout?.once('data', () => child.kill('SIGINT'));
    expect(await statusOf(child)).toBe(143);
  });

  it('a reader that goes away: closes the audit log, quietly, and exits 130', async () => {
    const dir = join(folder, 'reader');
    const child = startProgram(['check', ...Array<string>(100).fill(weights), ...audited(dir)], env);
    child.stdout?.once('data', () => child.stdout?.destroy());
    expect(await ended(child)).toMatchObject({ code: 130, stderr: '' });
    await expectClosed(dir);
  });

  it('a reader of stderr that goes away is one too', async () => {
    const child = startProgram(['check', ...Array<string>(100).fill(weights), '--log', 'json'], env);
    child.stderr?.once('data', () => child.stderr?.destroy());
    expect(await statusOf(child)).toBe(130);
  });

  it.each([
    ['text', []],
    ['JSON, written when the work is done', ['--json']],
  ])(
    `output that cannot be written exits 2: %s${existsSync(FULL) ? '' : ' (SKIPPED: no /dev/full on this machine)'}`,
    async (_what, options) => {
      if (!existsSync(FULL)) return;
      const full = openSync(FULL, 'w');
      const child = spawn(process.execPath, [MAIN, 'digest', weights, ...options], {
        stdio: ['ignore', full, 'pipe'],
      });
      let stderr = '';
      child.stderr?.on('data', (data: Uint8Array) => {
        stderr += new TextDecoder().decode(data);
      });
      expect(await statusOf(child)).toBe(2);
      expect(stderr).toBe('error: stdout cannot be written: ENOSPC [INVALID_INPUT]\n');
    },
  );

  it('what was found before counts on where the output then fails', async () => {
    const controller = new AbortController();
    const { code } = await cli(
      ['check', weights, join(folder, 'absent'), '--expect', `sha256:${'0'.repeat(64)}`],
      {
        io: {
          signal: controller.signal,
          stderr: () => controller.abort(new Stop('the output cannot be written', 2, { silent: true })),
        },
      },
    );
    expect(code).toBe(1);
  });

  it('digest hashes nothing more, and does not complain of each file', async () => {
    const controller = new AbortController();
    const { code, stderr } = await cli(['digest', weights, weights, weights], {
      io: {
        signal: controller.signal,
        stdout: () => controller.abort(new Stop('SIGTERM', 143, { silent: false })),
      },
    });
    expect({ code, stderr }).toEqual({ code: 143, stderr: '' });
  });

  it('bench says that it was aborted, which is not an internal error', async () => {
    const controller = new AbortController();
    controller.abort(new Stop('SIGTERM', 143, { silent: false }));
    const { code, stderr } = await cli(['bench', '--size', '4096', '--file-size', '4096', '--rounds', '1'], {
      io: { signal: controller.signal },
    });
    expect(stderr).toMatch(/^error: [^\n]*\[ABORTED\]\n$/);
    expect(code).toBe(143);
  });
});
