import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../../../', import.meta.url));

describe('what npm test prints of a run', () => {
  let folder = '';
  let lines: readonly string[] = [];

  beforeAll(async () => {
    mkdirSync(`${root}.cache`, { recursive: true });
    folder = mkdtempSync(`${root}.cache/summary-`);
    const head = "import { describe, expect, it } from 'vitest';\n";
    writeFileSync(
      join(folder, 'mixed.test.ts'),
      `${head}describe('outer', () => {
        it('passes', () => { console.log('of no interest'); expect(1).toBe(1); });
        it('fails', () => { console.log('of interest'); expect(1).toBe(2); });
        it.skip('NOT RUN: no such thing', () => undefined);
        it('skips itself', ({ skip }) => skip('for a reason'));
      });\n`,
    );
    writeFileSync(join(folder, 'broken.test.ts'), `${head}throw new Error('does not load');\n`);
    writeFileSync(join(folder, 'vitest.config.ts'), 'export default {};\n');
    const reporter = `--reporter=${join(root, 'test/support/summary-reporter.ts')}`;
    const run = promisify(execFile)(
      process.execPath,
      [join(root, 'node_modules/vitest/vitest.mjs'), 'run', `--root=${folder}`, reporter],
      { cwd: folder },
    );
    const stdout = await run.then(
      () => '',
      (error: { readonly stdout: string }) => error.stdout,
    );
    lines = stdout.split('\n');
  }, 120_000);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('has each failure with its error and what it printed, and files that do not load', () => {
    const failed = 'FAILED  mixed.test.ts > outer > fails';
    // When it happened, and at the end.
    expect(lines.filter((line) => line === failed)).toHaveLength(2);
    const told = lines.slice(lines.lastIndexOf(failed));
    expect(told.join('\n')).toContain('AssertionError: expected 1 to be 2');
    expect(told).toContain('  printed: of interest');
    expect(lines).toContain('FAILED  broken.test.ts');
    expect(lines.join('\n')).toContain('  Error: does not load');
  });

  it('has every skip with its reason', () => {
    expect(lines.filter((line) => line.startsWith('skipped  '))).toEqual([
      'skipped  mixed.test.ts > outer > NOT RUN: no such thing',
      'skipped  mixed.test.ts > outer > skips itself: for a reason',
    ]);
  });

  it('has the groups with their numbers, and nothing of what passed', () => {
    expect(lines.join('\n')).toMatch(/^2 of 2 test files, \d+ s$/m);
    expect(lines.map((line) => line.replace(/ +/g, ' '))).toEqual(
      expect.arrayContaining(['group passed failed skipped', 'other 1 1 2']),
    );
    expect(lines.join('\n')).not.toMatch(/of no interest|outer > passes/);
  });
});
