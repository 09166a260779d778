import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { budgetScale, readArguments, UsageError } from '../../scripts/kit/runner/arguments.js';
import { PLAN, type StepPlan } from '../../scripts/kit/runner/plan.js';
import { figureAt, missingFigures, ReportFile, type ReportLine } from '../../scripts/kit/runner/report.js';
import { runStep, type StepOutcome } from '../../scripts/kit/runner/run-step.js';
import { parseStepResult } from '../../scripts/kit/runner/step-result.js';
import { lineInWords, totals } from '../../scripts/kit/runner/summary.js';

const folder = mkdtempSync(join(tmpdir(), 'kit-runner-'));
afterAll(() => rmSync(folder, { recursive: true }));

const LIMIT_MS = 20_000;
let programs = 0;

/** Runs a step whose program is this JavaScript; `end(result)` writes its result file. */
async function step(
  body: string,
  {
    limitMs = LIMIT_MS,
    figures = [],
    hardwareFigures = [],
    emulated = true,
    signal = new AbortController().signal,
  }: {
    readonly limitMs?: number;
    readonly figures?: readonly string[];
    readonly hardwareFigures?: readonly string[];
    readonly emulated?: boolean;
    readonly signal?: AbortSignal;
  } = {},
): Promise<StepOutcome> {
  programs += 1;
  const own = join(folder, String(programs));
  const logFolder = join(own, 'logs');
  mkdirSync(logFolder, { recursive: true });
  const program = join(own, 'program.mjs');
  writeFileSync(
    program,
    `import { writeFileSync } from 'node:fs';
     const { resultFile } = JSON.parse(process.env.VRAM_KIT_STEP);
     const blank = { reason: null, figures: {}, unusable: false };
     const end = (result) => writeFileSync(resultFile, JSON.stringify({ ...blank, ...result }));
     ${body}`,
  );
  const plan: StepPlan = {
    name: 'test',
    shows: '',
    quick: true,
    limitMs,
    budgetMs: 0,
    figures,
    hardwareFigures,
  };
  return await runStep({
    plan,
    program,
    environment: process.env,
    setting: { device: 0, emulated, budgetMs: 0 },
    limitMs,
    logFolder,
    workFolder: join(own, 'work'),
    signal,
  });
}

describe('kit: a step in its own process', () => {
  it('that passes with its figures has passed', async () => {
    const { line } = await step(`end({ status: 'passed', figures: { gpu: { name: 'x' } } });`, {
      figures: ['gpu.name'],
    });
    expect(line).toMatchObject({
      v: 1,
      step: 'test',
      status: 'passed',
      reason: null,
      figures: { gpu: { name: 'x' } },
    });
    expect(line.wallMs).toBeGreaterThan(0);
    expect(line.limitMs).toBe(LIMIT_MS);
  });

  it.each([
    ['absent', '{}'],
    ['null', '{ speed: null }'],
    ['an empty list', '{ speed: [] }'],
  ])('that passes with a figure that is %s has failed', async (_, figures) => {
    const { line } = await step(`end({ status: 'passed', figures: ${figures} });`, { figures: ['speed'] });
    expect(line).toMatchObject({ status: 'failed', reason: 'it passed without its figures: speed' });
  });

  it('needs the figures of hardware on hardware alone', async () => {
    const body = `end({ status: 'passed', figures: {} });`;
    expect((await step(body, { hardwareFigures: ['clock'] })).line.status).toBe('passed');
    expect((await step(body, { hardwareFigures: ['clock'], emulated: false })).line.status).toBe('failed');
  });

  it('that hangs is killed with everything that it started, and keeps the figures it had told', async () => {
    const mark = join(folder, 'grandchild-lives');
    const { line } = await step(
      `import { spawn } from 'node:child_process';
       end({ status: 'running', figures: { half: 1 } });
       spawn(process.execPath, ['-e', ${JSON.stringify(
         `setTimeout(() => require('node:fs').writeFileSync(${JSON.stringify(mark)}, ''), 3000)`,
       )}]);
       setInterval(() => undefined, 1000);`,
      { limitMs: 1500 },
    );
    expect(line).toMatchObject({
      status: 'timed-out',
      reason: 'killed after 1.5 s',
      figures: { half: 1 },
    });
    await new Promise((resolve) => setTimeout(resolve, 2500));
    expect(() => readFileSync(mark)).toThrow('ENOENT');
  });

  it('that crashes has failed with the signal and its last words', async () => {
    const { line } = await step(
      `console.error('the last words'); process.kill(process.pid, 'SIGSEGV'); setInterval(() => 0, 1000);`,
    );
    expect(line.status).toBe('failed');
    expect(line.reason).toBe('its process ended with signal SIGSEGV before it had an answer: the last words');
  });

  it('that ends without an answer, or with one that is none, has failed', async () => {
    expect((await step('')).line.reason).toBe('its process ended with exit code 0 before it had an answer');
    expect((await step(`writeFileSync(resultFile, '{"sta');`)).line.status).toBe('failed');
    expect((await step(`writeFileSync(resultFile, '[]');`)).line.reason).toContain('not an object');
    expect((await step(`end({ status: 'fine' });`)).line.reason).toContain('another form');
  });

  it('that says passed and then crashes has failed', async () => {
    const { line } = await step(`end({ status: 'passed' }); process.exit(3);`);
    expect(line).toMatchObject({
      status: 'failed',
      reason: 'its process ended with exit code 3 after it had passed',
    });
  });

  it('that fails or skips tells why, and that no GPU can be used', async () => {
    expect((await step(`end({ status: 'skipped', reason: 'no ncu' });`)).line).toMatchObject({
      status: 'skipped',
      reason: 'no ncu',
    });
    const { line, unusable } = await step(`end({ status: 'failed', reason: 'no driver', unusable: true });`);
    expect(line).toMatchObject({ status: 'failed', reason: 'no driver' });
    expect(unusable).toBe(true);
  });

  it('is ended when the run is interrupted', async () => {
    const interrupted = new AbortController();
    setTimeout(() => interrupted.abort(), 500);
    const { line } = await step(`end({ status: 'running' }); setInterval(() => 0, 1000);`, {
      signal: interrupted.signal,
    });
    expect(line).toMatchObject({ status: 'failed', reason: 'the run was interrupted' });
  });
});

describe('kit: the command line', () => {
  it('has every step, in the order of their worth, and the quick ones', () => {
    expect(readArguments([]).steps).toBe(PLAN);
    expect(readArguments(['--quick']).steps.map(({ name }) => name)).toEqual([
      'environment',
      'selftest',
      'contract',
      'drill',
      'verify-sweep',
      'variants',
    ]);
    expect(new Set(PLAN.map(({ name }) => name)).size).toBe(PLAN.length);
  });

  it('runs named steps in the kit’s order, behind the one that finds the GPU', () => {
    expect(readArguments(['--steps', 'seal,drill']).steps.map(({ name }) => name)).toEqual([
      'environment',
      'drill',
      'seal',
    ]);
  });

  it('scales sweeps with the time given', () => {
    expect(budgetScale(readArguments([]))).toBe(1);
    expect(budgetScale(readArguments(['--quick', '--seconds', '75']))).toBe(0.5);
    expect(budgetScale(readArguments(['--seconds', '86400']))).toBe(4);
    expect(budgetScale(readArguments(['--emulated', '--seconds', '1']))).toBe(1);
  });

  it('stays under six minutes, and quick under 150 seconds', () => {
    expect(readArguments([]).seconds).toBeLessThan(360);
    expect(readArguments(['--quick']).seconds).toBe(150);
  });

  it.each([
    [['--seconds', '0'], '--seconds must be'],
    [['--seconds', '1e3'], '--seconds must be'],
    [['--seconds', '99999'], '--seconds must be'],
    [['--device', 'webgpu:0'], '--device must be cuda:N'],
    [['--device', 'cuda:-1'], '--device must be cuda:N'],
    [['--steps', 'drill,fly'], 'there is no step "fly"'],
    [['--steps', ''], 'there is no step ""'],
    [['--sudo'], '--sudo'],
    [['extra'], 'extra'],
    [['--out'], '--out'],
  ])('refuses %j', (args, message) => {
    expect(() => readArguments(args)).toThrow(UsageError);
    expect(() => readArguments(args)).toThrow(message);
  });
});

describe('kit: the report', () => {
  const line: ReportLine = {
    v: 1,
    step: 'drill',
    status: 'passed',
    wallMs: 1234,
    limitMs: 60_000,
    reason: null,
    figures: {},
  };

  it('is on disk line by line, and no second run writes over it', () => {
    const path = join(folder, 'report.ndjson');
    const report = new ReportFile(path);
    report.append(line);
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual(line);
    report.append({ ...line, step: 'seal' });
    report.close();
    expect(readFileSync(path, 'utf8').trim().split('\n')).toHaveLength(2);
    expect(() => new ReportFile(path)).toThrow('EEXIST');
  });

  it('finds figures by their path', () => {
    const figures = { gpu: { name: 'H100', ecc: null }, list: [1] };
    expect(figureAt(figures, 'gpu.name')).toBe('H100');
    expect(figureAt(figures, 'gpu.name.length')).toBeUndefined();
    expect(figureAt(figures, 'list.0')).toBeUndefined();
    expect(missingFigures(figures, ['gpu.name', 'gpu.ecc', 'gpu.cores', 'list', 'toString'])).toEqual([
      'gpu.ecc',
      'gpu.cores',
      'toString',
    ]);
  });

  it('reads only results of its own form', () => {
    const result = { status: 'passed', reason: null, figures: { a: 1 }, unusable: false };
    expect(parseStepResult(JSON.stringify(result))).toEqual(result);
    for (const wrong of [
      null,
      [],
      { ...result, status: 'ok' },
      { ...result, figures: [] },
      { ...result, unusable: 1 },
    ]) {
      expect(() => parseStepResult(JSON.stringify(wrong))).toThrow();
    }
  });

  it('sums up for people: a timed-out step counts as failed', () => {
    const lines = (['passed', 'failed', 'timed-out', 'skipped'] as const).map((status) => ({
      ...line,
      status,
    }));
    expect(totals(lines)).toBe('1 passed, 2 failed, 1 skipped');
    expect(lineInWords({ ...line, status: 'failed', reason: 'why' })).toBe(
      'FAILED    drill             1.2 s  why',
    );
  });
});
