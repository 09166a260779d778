import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';
import { expect } from 'vitest';
import { showAudit, verifyAudit } from '../../../../src/node/audit/index.js';
import { TOKEN } from '../../audit/events.js';

export interface KillFigures {
  readonly kills: number;
  readonly acknowledgedCritical: number;
  readonly flushedGrouped: number;
  readonly records: number;
  readonly missing: number;
  readonly recoveries: number;
}

/** Compiles scripts that run in processes of their own: Node reads no TypeScript. */
export async function bundle(target: string, scripts: Readonly<Record<string, string>>): Promise<void> {
  await mkdir(target, { recursive: true });
  await writeFile(join(target, 'package.json'), '{"type":"module"}');
  await build({
    entryPoints: Object.entries(scripts).map(([out, path]) => ({ in: path, out })),
    outdir: target,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'silent',
    // Dependencies that are CommonJS ask for it.
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
  });
}

/** Kills a busy writer `kills` times at random moments and compares what it acknowledged with what is there. */
export async function killWriter(
  place: { readonly root: string; readonly dir: string; readonly keyFile: string },
  kills: number,
): Promise<KillFigures> {
  const out = join(place.root, 'bundle');
  await bundle(out, { child: new URL('./kill-child.ts', import.meta.url).pathname });
  const critical: string[] = [];
  const grouped: string[] = [];
  for (let round = 0; round < kills; round++) {
    const child = spawn(process.execPath, [join(out, 'child.js'), place.dir, place.keyFile, String(round)], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const lines = await untilKilled(child);
    critical.push(...lines.filter((line) => line.startsWith('c-')));
    const flushed = lines.filter((line) => line.startsWith('flush ')).map((line) => Number(line.slice(6)));
    for (let i = 0; i < Math.max(0, ...flushed); i++) grouped.push(`g-${round}-${i}`);
    const report = await verifyAudit(place.dir, { token: TOKEN, keyFile: place.keyFile });
    // A line that was being written when the process died is all that may be wrong.
    expect([null, 'torn'], report.bad?.message).toContain(report.bad?.reason ?? null);
  }
  const child = spawn(process.execPath, [join(out, 'child.js'), place.dir, place.keyFile, 'last'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  await untilKilled(child);
  const there = new Set<string>();
  let records = 0;
  let recoveries = 0;
  for await (const { type, data } of showAudit(place.dir)) {
    records += 1;
    if (type === 'audit.recovered') recoveries += 1;
    if (typeof data['shardId'] === 'string') there.add(data['shardId']);
  }
  const missing = [...critical, ...grouped].filter((id) => !there.has(id));
  return {
    kills: kills + 1,
    acknowledgedCritical: critical.length,
    flushedGrouped: grouped.length,
    records,
    missing: missing.length,
    recoveries,
  };
}

/** Kills the child at a random moment after it has opened the log; gives the whole lines it wrote. */
async function untilKilled(child: ChildProcess): Promise<string[]> {
  let output = '';
  let errors = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    errors += chunk.toString();
  });
  const exited = new Promise<void>((resolve) => child.once('close', () => resolve()));
  await new Promise<void>((resolve) => {
    child.stdout?.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      if (output.startsWith('open\n')) resolve();
    });
    child.once('close', () => resolve());
  });
  await new Promise((resolve) => setTimeout(resolve, Math.random() * 150));
  child.kill('SIGKILL');
  await exited;
  expect(errors).toBe('');
  expect(output.startsWith('open\n')).toBe(true);
  return output.split('\n').slice(0, -1);
}
