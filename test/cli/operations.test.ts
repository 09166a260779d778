import { type ChildProcess, execFile, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startProgram } from '../support/cli.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const MAIN = join(root, 'dist/bundle/lib/main.js');
const PAGE = readFileSync(join(root, 'docs/operations.md'), 'utf8');
const run = promisify(execFile);
const missing = spawnSync('curl', ['--version']).status === 0 ? '' : ' (SKIPPED: no curl)';

/** The blocks of a section, in its order. */
function blocksOf(section: string): readonly string[] {
  const [, text = ''] = PAGE.split(`\n## ${section}\n`);
  const [own = ''] = text.split('\n## ');
  return [...own.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, code = '']) => code);
}

describe.skipIf(missing !== '')(`docs/operations.md${missing}`, () => {
  let folder: string;
  let worker: ChildProcess;
  let ended: Promise<unknown>;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'vram-operations-'));
    for (const name of ['models', 'run', 'etc']) mkdirSync(join(folder, name), { mode: 0o700 });
    writeFileSync(join(folder, 'models/llama.bin'), Buffer.alloc(1_000_000, 5));
    for (const name of ['worker.token', 'admin.tokens']) {
      writeFileSync(join(folder, 'etc', name), `${'0123456789abcdef'.repeat(2)}${name}\n`, { mode: 0o600 });
    }
    const path = (name: string): string => join(folder, name);
    const args = [
      ...['serve', '--device', 'host', '--policy', 'any', '--drills', '--socket', path('run/worker.sock')],
      ...['--root', path('models'), '--model', `llama=${path('models/llama.bin')}`],
      ...['--token-file', path('etc/worker.token'), '--audit', path('audit')],
      ...['--admin-tokens', path('etc/admin.tokens'), '--lock-dir', path('lock')],
    ];
    worker = startProgram(args, { XDG_STATE_HOME: path('state') });
    ended = once(worker, 'exit');
    const { stderr } = worker;
    if (stderr === null) throw new Error('no pipe');
    for (let said = ''; !said.includes('listening on'); ) said += String(await once(stderr, 'data'));
  }, 30_000);

  afterAll(async () => {
    worker.kill('SIGTERM');
    await ended;
    rmSync(folder, { recursive: true });
  });

  /** Runs lines of the page, its paths replaced by the test's. */
  async function shell(...blocks: readonly string[]): Promise<string> {
    const script = blocks
      .join('\n')
      .replaceAll('/run/vram-residency/', `${folder}/run/`)
      .replaceAll('/etc/vram-residency/', `${folder}/etc/`)
      .replaceAll('/var/lib/vram-residency/', `${folder}/`);
    const program = `vram-residency() { "${process.execPath}" "${MAIN}" "$@"; }`;
    const { stdout } = await run('bash', ['-euo', 'pipefail', '-c', `${program}\n${script}`], {
      cwd: join(folder, 'etc'),
      env: { ...process.env, XDG_STATE_HOME: join(folder, 'state') },
      timeout: 30_000,
    });
    return stdout;
  }

  const [define = ''] = blocksOf('Set up under systemd').map((block) => block.replace(/^ask http.*$/m, ''));
  it('asks a worker with its token, which stands on no command line', async () => {
    await expect
      .poll(async () => JSON.parse(await shell(...blocksOf('Set up under systemd'))), { timeout: 20_000 })
      .toMatchObject({ state: 'ready', models: [{ name: 'llama', state: 'ready' }] });
    expect(define).toContain('-H @<(');
  });

  it('tells whether all is well', async () => {
    const text = await shell(define, ...blocksOf('Is all well?'));
    expect(text).toContain('model     llama@1  ready');
    expect(text).toContain('vram_residency_worker_ready 1');
  });

  it('heals damage', async () => {
    const [commands = ''] = blocksOf('Damage was found');
    const drill =
      'ask -X POST -H "content-type: application/json" -d "{}" http://localhost/v1/models/llama/drill';
    const verify = 'ask -X POST http://localhost/v1/models/llama/verify';
    expect(await shell(define, drill, verify)).toContain('INTEGRITY_VIOLATION');
    const answers = (await shell(define, commands)).match(/"ok":true,"shards"/g);
    expect(answers).toHaveLength(2);
  });

  it('ends a load', async () => {
    const commit =
      `ask -X POST -H "content-type: application/json" -d ` +
      `'{"name":"other","path":"${folder}/models/llama.bin"}' http://localhost/v1/models`;
    await shell(define, commit, ...blocksOf('A load does not end'));
    await expect.poll(() => shell(define, 'ask http://localhost/v1/models')).not.toContain('"name":"other"');
  });

  it('verifies the audit log', async () => {
    expect(await shell(...blocksOf('The audit log is full'))).toContain('every MAC verified with the token');
  });

  it('exchanges tokens, in two steps of which each leaves one that works', async () => {
    const [commands = ''] = blocksOf('Rotate tokens');
    const [add = '', take = ''] = commands.trim().split('\n');
    const before = readFileSync(join(folder, 'etc/admin.tokens'), 'utf8');
    const status = 'ask -o /dev/null -w "%{http_code}" http://localhost/v1/status';
    await shell(add);
    expect(await shell(define, 'sleep 1.2', status)).toBe('200');
    await shell(take);
    expect(await shell(define, 'sleep 1.2', status)).toBe('200');
    expect(readFileSync(join(folder, 'etc/admin.tokens'), 'utf8')).not.toContain(before.trim());
  });

  it('drains, after which nothing is held', async () => {
    await shell(define, ...blocksOf('A new version'));
    const left = JSON.parse(await shell(define, 'ask http://localhost/v1/status'));
    expect(left).toMatchObject({ state: 'draining', models: [], capacity: { usedBytes: 0 } });
  });
});
