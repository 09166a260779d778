import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const work = mkdtempSync(join(tmpdir(), 'hardware-'));
afterAll(() => rmSync(work, { recursive: true }));

/** The script and its documents, in a tree of their own, as if no report were there. */
function tree(): {
  run(...args: string[]): { status: number | null; stderr: string };
  text(path: string): string;
  folder: string;
} {
  const folder = mkdtempSync(join(work, 'tree-'));
  for (const path of ['scripts', 'docs']) mkdirSync(join(folder, path));
  for (const path of ['scripts/hardware.mjs', 'docs/hardware.md', 'README.md'])
    cpSync(join(root, path), join(folder, path));
  const run = (...args: string[]) =>
    spawnSync(execPath, [join(folder, 'scripts/hardware.mjs'), ...args], { encoding: 'utf8' });
  run();
  return { run, folder, text: (path) => readFileSync(join(folder, path), 'utf8') };
}

function report(execution: string): string {
  const line = (step: string, status: string, figures: object) =>
    JSON.stringify({ v: 1, step, status, wallMs: 1, limitMs: 2, reason: null, figures });
  const folder = mkdtempSync(join(work, 'report-'));
  writeFileSync(
    join(folder, 'report.ndjson'),
    [
      line('environment', 'passed', {
        gpu: { name: 'NVIDIA Test 9000', execution, uuid: 'GPU-12345' },
        driver: { version: '999.1', cuda: 'CUDA 12' },
        kit: { commit: 'abc' },
      }),
      line('verify-sweep', 'passed', {
        GBps: 512.3,
        predicted: { GBps: 600 },
        readback: { ratio: 44 },
        sum: { GBps: 2000 },
      }),
      line('variants', 'failed', { fastest: { variant: 'pair', threads: 64, againstShipped: 1.2 } }),
      '',
    ].join('\n'),
  );
  return folder;
}

describe('what the documents say of hardware', () => {
  it('without a report they say that there is none', () => {
    const { run, text } = tree();
    expect(run('--check').status).toBe(0);
    expect(text('docs/hardware.md')).toContain('None yet');
    expect(text('README.md')).toContain('any NVIDIA GPU');
  });

  it('a report of hardware becomes a row of each table, with measured and predicted side by side', () => {
    const { run, text, folder } = tree();
    expect(run('add', report('hardware')).status).toBe(0);
    const [name = ''] = readdirSync(join(folder, 'docs/hardware'));
    expect(name).toMatch(/^\d{4}-\d\d-\d\d-nvidia-test-9000-999\.1-abc\.json$/);
    expect(text(`docs/hardware/${name}`)).not.toContain('GPU-12345');
    expect(text('docs/hardware.md')).toContain(`[NVIDIA Test 9000](hardware/${name}) | 999.1`);
    expect(text('docs/hardware.md')).toContain(
      '| 2 / 1 / 0 | 512.3 | 600 | 44x | 2000 | pair, 64 threads: 1.2x |',
    );
    expect(text('docs/hardware.md')).not.toContain('None yet');
    expect(text('README.md')).toContain('on NVIDIA Test 9000 (driver 999.1, ');
    expect(text('README.md')).not.toContain('any NVIDIA GPU');
    expect(run('--check').status).toBe(0);
  });

  it('a report over the emulated driver is refused', () => {
    const { run, text } = tree();
    const { status, stderr } = run('add', report('emulated'));
    expect(status).toBe(2);
    expect(stderr).toContain('is not from hardware');
    expect(text('docs/hardware.md')).toContain('None yet');
  });

  it('a document that was changed by hand is found', () => {
    const { run, text, folder } = tree();
    writeFileSync(join(folder, 'README.md'), text('README.md').replace('any NVIDIA GPU', 'no NVIDIA GPU'));
    expect(run('--check')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('README.md is not current'),
    });
    expect(run('--nothing').status).toBe(2);
  });
});
