import { spawn, spawnSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/index.js';
import { Admission, type Listener, listen, Tokens, workerApp } from '../../src/worker/http/index.js';
import { cli, ended } from '../support/cli.js';
import { MIB, type Rig, rig } from '../unit/worker/fixture.js';

let dir: string;
let socket: string;
let made: Rig;
let listener: Listener;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vram-worker-cli-'));
  socket = join(dir, 'worker.sock');
  made = await rig({}, { drills: true });
  listener = await listening();
});
afterEach(async () => {
  await listener.close();
  await made[Symbol.asyncDispose]();
  await rm(dir, { recursive: true });
});

async function listening(tokens: Parameters<typeof Tokens.open>[0] = {}): Promise<Listener> {
  const admission = new Admission({
    tokens: await Tokens.open(tokens, () => performance.now()),
    hosts: null,
    clock: systemClock,
  });
  const app = workerApp({
    worker: made.worker,
    admission,
    clock: systemClock,
    onUnforeseen: (error) => {
      throw error;
    },
  });
  return await listen({ socket, trustOwner: null }, app);
}

async function holding(...names: string[]): Promise<void> {
  for (const [index, name] of names.entries()) {
    const path = await made.write(`${name}.bin`, MIB, index + 1);
    await made.worker.commit({ name, path });
    await made.settled(name);
  }
}

/** Names of all fields of a document. */
function fieldsOf(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(fieldsOf);
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => [name, ...fieldsOf(inner)]);
}

const ask = (...args: string[]) => cli([args[0] ?? '', '--worker', socket, ...args.slice(1)]);

describe('check --worker', () => {
  it('has all models verified where they lie, or those that are named', async () => {
    await holding('one', 'two');
    const all = await ask('check');
    expect(all).toMatchObject({ code: 0, stderr: '' });
    expect(all.stdout).toContain('2 of 2 models verified in place');
    expect(all.stdout).toContain('one.bin, every byte is as sealed');
    const named = await ask('check', 'two', '--json');
    expect(named.code).toBe(0);
    expect(JSON.parse(named.stdout)).toMatchObject({
      v: 1,
      ok: true,
      worker: { workerId: 'worker', device: { id: 'host' } },
      models: [{ name: 'two', generation: 1, ok: true, shards: [{ label: 'two.bin', ok: true }] }],
    });
  });

  it('exits with 1 for damage, and checks the others all the same', async () => {
    await holding('one', 'two');
    await made.worker.drill('one', { seed: 1 });
    const { code, stdout, stderr } = await ask('check', '--json');
    expect(code).toBe(1);
    const { ok, models } = JSON.parse(stdout);
    expect([ok, models.map((model: { ok: boolean }) => model.ok)]).toEqual([false, [false, true]]);
    expect(stderr).toMatch(/error: one: one\.bin: .* \[INTEGRITY_VIOLATION\]/);
  });

  it.each<[string, string[], number, string]>([
    ['a model that is not there', ['check', 'other'], 2, 'NOT_FOUND'],
    ['a name that no model can have', ['check', '../x'], 2, 'INVALID_INPUT'],
    ['no model at all', ['check'], 2, 'the worker holds no model'],
    ['no model to drill', ['drill'], 2, 'the worker holds no model'],
    ['options of a device', ['check', '--device', 'host'], 2, '--device cannot be given with --worker'],
    ['a digest', ['drill', '--expect', 'sha256:0'], 2, '--expect "sha256:0" cannot be given with --worker'],
    [
      'more flips than a worker takes',
      ['drill', 'one', '--flips', '1025'],
      2,
      '--flips must be at most 1024',
    ],
    [
      'a seed beyond 32 bits',
      ['drill', 'one', '--seed', '4294967296'],
      2,
      '--seed must be at most 4294967295',
    ],
  ])('refuses %s', async (_, args, exit, says) => {
    const { code, stderr } = await ask(...args);
    expect(stderr).toContain(says);
    expect(code).toBe(exit);
  });

  it('shows a token, which must be good', async () => {
    await listener.close();
    const tokens = join(dir, 'tokens');
    const token = 'a'.repeat(32);
    await writeFile(tokens, token, { mode: 0o600 });
    listener = await listening({ execute: tokens });
    await holding('one');
    expect((await ask('check', '--token-file', tokens)).code).toBe(0);
    await writeFile(join(dir, 'wrong'), 'b'.repeat(32), { mode: 0o600 });
    for (const args of [[], ['--token-file', join(dir, 'wrong')]]) {
      const { code, stderr } = await ask('check', ...args);
      expect(code).toBe(2);
      expect(stderr).toContain('refused: "Authorization" must be a bearer token of this worker');
    }
    // It may verify, but not damage.
    const drill = await ask('drill', '--token-file', tokens);
    expect([drill.code, drill.stderr]).toEqual([2, expect.stringContaining('needs the role admin')]);
  });

  it.each(['check', 'drill'])(
    '%s asks nobody where somebody else could have put the socket',
    async (command) => {
      const open = join(dir, 'open');
      await mkdir(open);
      await chmod(open, 0o777);
      let connections = 0;
      const server = createServer(() => {
        connections += 1;
      });
      const path = join(open, 'worker.sock');
      await new Promise<void>((resolve) => server.listen(path, resolve));
      const { code, stderr } = await cli([command, '--worker', path]);
      server.close();
      expect(stderr).toContain('can be written by everybody');
      expect([code, connections]).toEqual([2, 0]);
    },
  );

  it.each(['check', 'drill'])('%s says so where nobody answers', async (command) => {
    const { code, stdout, stderr } = await cli([command, '--worker', join(dir, 'none.sock'), '--json']);
    expect(code).toBe(2);
    expect(stderr).toContain('does not answer');
    expect(JSON.parse(stdout)).toMatchObject({
      v: 1,
      ok: false,
      worker: null,
      error: { code: 'INVALID_INPUT' },
    });
  });

  it.each(['check', 'drill'])('%s without it still needs a file', async (command) => {
    const { code, stderr } = await cli([command]);
    expect([code, stderr]).toEqual([2, expect.stringContaining('missing required argument')]);
  });
});

describe('docs/cli.md', () => {
  it.each([
    ['check', 'Check a worker'],
    ['drill', 'Drill a worker'],
  ])('names every field of what %s --worker --json prints', async (command, heading) => {
    await holding('one');
    if (command === 'check') await made.worker.drill('one', {});
    const page = await readFile('docs/cli.md', 'utf8');
    const section = (title: string): string => page.split(`#### ${title}\n`)[1]?.split('\n#')[0] ?? '';
    const text = section(heading) + section('Check a worker');
    const { stdout } = await ask(command, '--json');
    const fields = [...new Set(fieldsOf(JSON.parse(stdout)))];
    expect(fields.length).toBeGreaterThan(10);
    expect(fields.filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
  });
});

describe('drill --worker', () => {
  it('damages a served model, which the worker finds and heals', async () => {
    await holding('one');
    const { code, stdout } = await ask('drill', '--flips', '3', '--seed', '7', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      v: 1,
      ok: true,
      name: 'one',
      seed: 7,
      drilledBlocks: [expect.any(Number), expect.any(Number), expect.any(Number)],
      detected: true,
      foundBy: 'verify',
      healed: true,
      reverified: true,
    });
    expect(made.worker.model('one').state).toBe('ready');
  });

  it('counts what the scrubber found and healed first', async () => {
    await holding('one');
    const { worker } = made;
    const drill = worker.drill.bind(worker);
    worker.drill = async (name, request) => {
      const drilled = await drill(name, request);
      await worker.verify(name);
      await worker.heal(name);
      return drilled;
    };
    const { code, stdout } = await ask('drill', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ ok: true, detected: true, foundBy: 'scrub' });
  });

  it('exits with 1 where damage is not found', async () => {
    await holding('one');
    const { worker } = made;
    worker.drill = async (name) => ({
      name,
      generation: 1,
      shardId: worker.model(name).shards[0]?.shardId ?? '',
      seed: 1,
      blocks: [0],
    });
    const { code, stdout, stderr } = await ask('drill', '--json');
    expect(code).toBe(1);
    expect(stderr).toContain('the damage was not found');
    expect(JSON.parse(stdout)).toMatchObject({
      ok: false,
      detected: false,
      error: { code: 'INTEGRITY_VIOLATION' },
    });
  });

  it('leaves no damage behind where it fails half-way', async () => {
    await holding('one');
    const { worker } = made;
    const verify = worker.verify.bind(worker);
    let calls = 0;
    worker.verify = async (name, signal) => {
      calls += 1;
      const outcome = await verify(name, signal);
      // The second is the one that finds the damage.
      return calls === 2 ? { ...outcome, generation: 2 } : outcome;
    };
    const { code, stderr } = await ask('drill');
    expect([code, stderr]).toEqual([1, expect.stringContaining('another generation took over')]);
    expect(stderr).not.toContain('warning');
    expect(worker.model('one').state).toBe('ready');
  });

  it('names no model of several by itself', async () => {
    await holding('one', 'two');
    const { code, stderr } = await ask('drill');
    expect([code, stderr]).toEqual([2, expect.stringContaining('it holds several')]);
  });
});

const curl = spawnSync('curl', ['--version']).status === 0;

describe('examples/worker/plan-to-drain.sh', () => {
  it.skipIf(!curl)(`goes from plan to drain${curl ? '' : ' (SKIPPED: there is no curl)'}`, async () => {
    const path = await made.write('demo.bin', MIB);
    const { code, stdout, stderr } = await ended(
      spawn('sh', ['examples/worker/plan-to-drain.sh', socket, path]),
    );
    const answers = stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line): unknown => JSON.parse(line));
    expect({ code, calls: stderr.split('\n').map((line) => line.split(' {')[0]) }).toEqual({
      code: 0,
      calls: [
        'POST /v1/plan',
        'POST /v1/models',
        'POST /v1/models/demo/verify',
        'GET /v1/status',
        'DELETE /v1/models/demo',
        'POST /v1/drain',
        '',
      ],
    });
    expect(answers).toMatchObject([
      { feasible: true, reservationId: expect.any(String) },
      { name: 'demo', generation: 1 },
      { name: 'demo', ok: true },
      { state: 'ready', reservations: 0, models: [{ name: 'demo', state: 'ready' }] },
      { state: 'draining', models: [] },
    ]);
  });
});
