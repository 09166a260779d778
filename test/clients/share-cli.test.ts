import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import type { Backend, Region } from '../../src/device/index.js';
import { safetensorsFile } from '../fuzz/build.mjs';
import { cli, ended, startProgram } from '../support/cli.js';
import { cudaTestbed } from '../support/cuda.js';
import { examplesOf } from '../support/doc-examples.js';
import { findPython, runPython } from '../support/python.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const PROGRAM = join(ROOT, 'dist/bundle/lib/main.js');
const isRoot = process.geteuid?.() === 0;
const bed = await cudaTestbed();
const python = findPython(process.env['PYTHON'] ?? 'python3');
const missing = bed.missing ?? python.missing;

/** Borrows the model, checks it, compares a tensor, gives it back. */
const BORROW = `
import sys, time
from vram_residency.share import Stale, connect
with connect(sys.argv[1], client="cli test") as client:
    lease = client.lend("tiny")
    for _ in range(100):
        try:
            lease.check(60_000)
            break
        except Stale:
            time.sleep(0.05)
    print(client.models, sorted(lease.tensors), bytes(lease["a"].buffer()).hex())
    lease.close()
`;

const ANY = ['--policy', 'any'];

/** The backend with drills on every device; what its devices allocate is added to `regions`. */
function withDrills(backend: Backend, regions: Region[]): Backend {
  return {
    kind: backend.kind,
    list: () => backend.list(),
    problem: () => backend.problem(),
    open: async (index, options) => {
      const device = await backend.open(index, { ...options, drills: true });
      const allocate = device.allocate.bind(device);
      device.allocate = async (...request) => {
        const region = await allocate(...request);
        regions.push(region);
        return region;
      };
      return device;
    },
  };
}

describe(`vram-residency lend${missing === null ? '' : ` (NOT RUN: ${missing})`}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'lend-'));
  const model = join(folder, 'tiny.safetensors');
  writeFileSync(
    model,
    safetensorsFile(
      {
        a: { dtype: 'U8', shape: [3], data_offsets: [0, 3] },
        b: { dtype: 'F32', shape: [2], data_offsets: [3, 11] },
      },
      Uint8Array.of(1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0),
    ),
  );
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.skipIf(missing !== null)(
    'lends until it is stopped, and wipes what it held',
    { timeout: 60_000 },
    async () => {
      if (bed.missing !== null || python.missing !== null) throw new Error('there is no test bed');
      const socket = join(folder, 'share.sock');
      const child = startProgram(
        [
          'lend',
          `tiny=${model}`,
          '--socket',
          socket,
          '--device',
          'cuda:0',
          '--policy',
          'any',
          '--json',
          '--verbose',
        ],
        {
          VRAM_RESIDENCY_LIBCUDA: bed.libraryPath,
        },
      );
      const result = ended(child);
      const document = await new Promise<string>((resolve) =>
        child.stdout?.once('data', (data) => resolve(String(data))),
      );
      expect(JSON.parse(document)).toMatchObject({
        v: 1,
        ok: true,
        socket,
        models: [{ name: 'tiny', shards: [{ layout: 'tensors', shared: true, immutability: 'api-only' }] }],
      });
      const borrowed = runPython(python.python, ['-c', BORROW, socket], {
        PYTHONPATH: 'clients/python/src',
        VRAM_RESIDENCY_LIBCUDA: bed.libraryPath,
      });
      expect(borrowed.stderr).toBe('');
      expect(borrowed.stdout).toBe("('tiny',) ['a', 'b'] 010203\n");
      child.kill('SIGTERM');
      const { code, stderr } = await result;
      expect(code).toBe(143);
      expect(stderr).toContain('was lent to "cli test" (process ');
      expect(stderr).toContain('the client ended it');
      expect(stderr).toContain('overwritten with zeros and freed');
    },
  );

  it.skipIf(missing !== null || !isRoot)(
    'a client whose process id this PID namespace does not show is lent to, and told as unknown (as root)',
    { timeout: 60_000 },
    async () => {
      if (bed.missing !== null || python.missing !== null) throw new Error('there is no test bed');
      const socket = join(folder, 'namespace.sock');
      const where = ['--socket', socket, '--device', 'cuda:0', ...ANY];
      const lend = ['lend', `tiny=${model}`, ...where, '--json', '--verbose'];
      // The worker sees its own namespace alone; the client, in the one above, has no number in it.
      const child = spawn(
        'unshare',
        ['--pid', '--fork', '--kill-child', '--mount-proc', process.execPath, PROGRAM, ...lend],
        {
          env: { ...process.env, VRAM_RESIDENCY_LIBCUDA: bed.libraryPath },
          stdio: ['ignore', 'pipe', 'pipe'],
        },
      );
      const result = ended(child);
      try {
        const begun = new Promise<unknown>((resolve) => child.stdout?.once('data', resolve));
        await Promise.race([begun, result.then(({ stderr }) => Promise.reject(new Error(stderr)))]);
        const borrowed = runPython(python.python, ['-c', BORROW, socket], {
          PYTHONPATH: 'clients/python/src',
          VRAM_RESIDENCY_LIBCUDA: bed.libraryPath,
        });
        expect(borrowed).toEqual({ code: 0, stdout: "('tiny',) ['a', 'b'] 010203\n", stderr: '' });
      } finally {
        // unshare passes no other signal on; the worker dies with it.
        child.kill('SIGKILL');
      }
      const { stderr } = await result;
      expect(stderr).toContain('was lent to "cli test" (process unknown, user 0)');
    },
  );

  it.skipIf(missing !== null)(
    'verifies what it lends as time goes by, small shards together, and heals each that is damaged',
    { timeout: 60_000 },
    async () => {
      if (bed.missing !== null) throw new Error(bed.missing);
      const regions: Region[] = [];
      const backend = withDrills(bed.backend(), regions);
      const stopping = new AbortController();
      const said: string[] = [];
      const running = cli(
        [
          'lend',
          ...['a', 'b', 'c'].map((name) => `${name}=${model}`),
          '--socket',
          join(folder, 'scrub.sock'),
          '--verify-every',
          '1',
          '--verbose',
          ...ANY,
        ],
        {
          backends: [backend],
          io: { signal: stopping.signal, stderr: (text) => said.push(text) },
        },
      );
      const seen = async (pattern: RegExp, times: number): Promise<void> => {
        while ((said.join('').match(pattern)?.length ?? 0) < times) await pause(20);
      };
      await seen(/is intact/g, 3);
      const [first, , third] = regions.slice(-3);
      for (const region of [first, third]) await region?.faults?.flip(1, 4);
      await seen(/1 block of .* repaired/g, 2);
      stopping.abort();
      await running;
      expect(said.join('').match(/INTEGRITY_VIOLATION/g)).toHaveLength(2);
    },
  );

  it.skipIf(missing !== null)('the program of docs/sharing.md runs', { timeout: 60_000 }, async () => {
    if (bed.missing !== null) throw new Error(bed.missing);
    const [example] = examplesOf('docs/sharing.md');
    mkdirSync(`${ROOT}.cache`, { recursive: true });
    const cwd = mkdtempSync(`${ROOT}.cache/sharing-`);
    try {
      writeFileSync(join(cwd, 'model.safetensors'), readFileSync(model));
      writeFileSync(join(cwd, 'example.mjs'), example?.code ?? '');
      const env = { ...process.env, VRAM_RESIDENCY_LIBCUDA: bed.libraryPath };
      const { code, stdout, stderr } = await ended(spawn(process.execPath, ['example.mjs'], { cwd, env }));
      expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: "[ 'llama' ]\n", stderr: '' });
    } finally {
      rmSync(cwd, { recursive: true, force: true });
    }
  });

  it.each([
    [['lend', 'tiny', '--socket', '/run/x.sock'], '"name=path" must be a name'],
    [['lend', `tiny=${model}`], "required option '--socket <path>' not specified"],
    [['lend', `tiny=${model}`, '--socket', 'x.sock', ...ANY], 'needs a CUDA device'],
    [['lend', `tiny=${model}`, '--socket', '/run/x.sock', ...ANY], 'needs a CUDA device'],
    [['lend', `tiny=${model}`, '--socket', '/run/x.sock', '--verify-every', '0'], 'from 1 to 86400'],
    [['lend', `tiny=${join(folder, 'absent')}`, '--socket', '/run/x.sock', ...ANY], 'absent'],
  ])('%j is refused in words', async (args, words) => {
    const { code, stderr } = await cli(args);
    expect(code).toBe(2);
    expect(stderr).toContain(words);
  });

  it('takes no memory but VRAM unless it is told to', async () => {
    const { code, stderr } = await cli(['lend', `tiny=${model}`, '--socket', '/run/x.sock']);
    expect(stderr).toContain('POLICY_VIOLATION');
    expect(code).toBe(3);
  });
});
