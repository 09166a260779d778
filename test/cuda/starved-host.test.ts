import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { env, execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { compileFlags, findCompiler } from '../../scripts/native-toolchain.mjs';
import { sanitizer } from '../support/sanitizer.js';
import { describeCuda, testDriverPath } from './testbed.js';

const file = (name: string): string => fileURLToPath(new URL(`starved/${name}`, import.meta.url));
const TIMEOUT_MS = 240_000;

describeCuda('cuda: a host without memory or threads', (bed) => {
  if (sanitizer !== null) {
    it.skip('NOT RUN: the sanitizers stand before libc themselves');
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), 'vram-starved-'));
  const host = join(folder, 'host.node');
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  beforeAll(() => {
    const compiler = findCompiler();
    if (compiler === null) throw new Error('the testbed was built, so there is a compiler');
    const flags = [...compileFlags({ sanitize: null }), '-shared', '-ldl', '-o', host, file('host.cc')];
    const made = spawnSync(compiler.command, flags, { encoding: 'utf8' });
    if (made.status !== 0) throw new Error(made.stderr);
  }, TIMEOUT_MS);

  function scenario(name: 'threads' | 'allocations'): unknown {
    const args = ['--expose-gc', file('child.mjs'), name, bed.addonPath, testDriverPath(bed), host];
    const { status, signal, stdout, stderr } = spawnSync(execPath, args, {
      encoding: 'utf8',
      timeout: TIMEOUT_MS,
      env: { ...env, LD_PRELOAD: host },
    });
    expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' });
    return JSON.parse(stdout);
  }

  it(
    'a thread that cannot be started rejects the call, whose work is not done by a later one',
    () => {
      expect(scenario('threads')).toEqual({
        refused: { load: 'rejected HOST_THREAD', open: 'rejected HOST_THREAD' },
        contexts: 0,
        opened: 1,
        left: 0,
      });
    },
    TIMEOUT_MS,
  );

  it(
    'whatever request of the addon for memory is refused, each call ends and says why, and nothing is left behind',
    () => {
      const { hangs, endings, left, unwiped } = scenario('allocations') as {
        hangs?: string;
        endings: Record<string, { refused: number; seen: string[] }>;
        left: number;
        unwiped: number;
      };
      expect(hangs).toBeUndefined();
      expect({ left, unwiped }).toEqual({ left: 0, unwiped: 0 });
      const allowed = ['rejected HOST_MEMORY', 'resolved', 'threw HOST_MEMORY'];
      for (const [name, { refused, seen }] of Object.entries(endings)) {
        expect(refused, name).toBeGreaterThan(4);
        if (name !== 'failing') expect(seen, name).toContain('resolved');
        const others = name === 'failing' ? [...allowed, 'rejected DRIVER'] : allowed;
        for (const how of seen) expect(others, `${name}: ${how}`).toContain(how);
      }
    },
    TIMEOUT_MS,
  );
});
