import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bundleStatement } from '../../../scripts/proof-statement.mjs';
import { bundleName, renderBundle, summarise } from '../../support/proof-bundle.js';
import { backendFacts } from '../../support/proof-environment.js';
import { PROOF_GROUPS, placeTest } from '../../support/proof-groups.js';
import {
  type ProofRun,
  readRequirements,
  requirementIds,
  type TestRecord,
} from '../../support/proof-model.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));

function record(change: Partial<TestRecord> = {}): TestRecord {
  return {
    kind: 'test',
    file: 'test/unit/made-up.test.ts',
    suites: ['a suite'],
    name: 'a test',
    group: 'other',
    backend: 'none',
    requirements: [],
    outcome: 'passed',
    durationMs: 1.6,
    retries: 0,
    note: null,
    errors: [],
    ...change,
  };
}

/** As many passing tests as every group needs. */
const enough = PROOF_GROUPS.flatMap(({ name, least }) =>
  Array.from({ length: least }, (_, index) => record({ group: name, name: `number ${index}` })),
);

function run(change: Partial<ProofRun> = {}, environment: Partial<ProofRun['environment']> = {}): ProofRun {
  return {
    environment: {
      commit: '0123456789abcdef0123456789abcdef01234567',
      changed: false,
      version: '1.2.3',
      startedAt: '2026-01-02T03:04:05.678Z',
      finishedAt: '2026-01-02T03:05:05.678Z',
      node: 'v20.19.0',
      vitest: '4.1.12',
      platform: 'linux',
      arch: 'x64',
      cpu: 'a CPU',
      cores: 2,
      memoryBytes: 2 ** 33,
      tools: {},
      variables: {},
      filter: null,
      backends: backendFacts({ adapter: 'mesa', description: 'llvmpipe' }, []),
      ...environment,
    },
    tests: [...enough, record({ requirements: ['AA-001'] })],
    problems: [],
    requirements: [{ id: 'AA-001', text: 'Something holds.' }],
    ...change,
  };
}

const file = (of: ProofRun, name: string): string => renderBundle(of).get(name) ?? '';

describe('a proof bundle claims no more than its run', () => {
  it('is complete only if everything is: the same run with one thing wrong never is', () => {
    expect(summarise(run())).toMatchObject({ complete: true, failed: 0, skipped: 0, shortcomings: [] });
    expect(file(run(), 'README.md')).toContain('**Complete.** ');
    const wrong: [ProofRun, RegExp][] = [
      [run({ tests: [...run().tests, record({ outcome: 'failed' })] }), /1 test failed/],
      [
        run({ tests: [...run().tests, record({ outcome: 'not finished' })] }),
        /1 test failed or did not finish/,
      ],
      [run({ tests: run().tests.slice(1) }), /group "allocator": 17 passed, at least 18/],
      [run({ tests: enough }), /covered by no test that passed: AA-001/],
      [run({ tests: [] }), /no test ran/],
      [run({ requirements: [] }), /list of requirements is missing/],
      [
        run({ problems: [{ kind: 'problem', file: 'test/x.test.ts', message: 'boom' }] }),
        /test\/x.test.ts: boom/,
      ],
      [run({}, { filter: '1 test files were left out' }), /only a part was run/],
      [run({ tests: [...run().tests, record({ requirements: ['ZZ-999'] })] }), /not in the list: ZZ-999/],
    ];
    for (const [broken, why] of wrong) {
      const summary = summarise(broken);
      expect(summary.complete).toBe(false);
      expect(summary.shortcomings.join('\n')).toMatch(why);
      expect(file(broken, 'README.md')).toContain('**Not complete.** ');
      expect(file(broken, 'README.md')).not.toContain('**Complete.**');
    }
  });

  it.each(PROOF_GROUPS.filter(({ least }) => least > 0))(
    'group $name needs $least that passed: skipped and failed ones do not count',
    ({ name, least }) => {
      for (const outcome of ['skipped', 'failed', 'not finished'] as const) {
        const first = enough.findIndex(({ group }) => group === name);
        const tests = enough.map((test, index) => (index === first ? { ...test, outcome } : test));
        const summary = summarise(run({ tests }));
        expect(summary.complete).toBe(false);
        expect(summary.groups.find((group) => group.name === name)?.passed).toBe(least - 1);
      }
    },
  );

  it('the numbers are those that were promised', () => {
    const least = Object.fromEntries(
      PROOF_GROUPS.filter((group) => group.least > 0).map((group) => [group.name, group.least]),
    );
    expect(least).toEqual({
      allocator: 18,
      addon: 3,
      seal: 18,
      validation: 18,
      types: 10,
      policy: 20,
      CUDA: 25,
      features: 7,
    });
  });

  it('a requirement is proved by a test that passed, if none of its tests failed', () => {
    const of = (...outcomes: TestRecord['outcome'][]): string =>
      file(
        run({ tests: outcomes.map((outcome) => record({ outcome, requirements: ['AA-001'] })) }),
        'spec_coverage.md',
      );
    expect(of('passed')).toContain('## AA-001: proved');
    expect(of('passed', 'skipped')).toContain('## AA-001: proved');
    expect(of('passed', 'failed')).toContain('## AA-001: failing');
    expect(of('skipped')).toContain('## AA-001: not covered');
    expect(of('skipped')).toContain('Not covered by a test that passed: AA-001.');
    expect(of()).toContain('No test carries this id.');
  });

  it('says what was real hardware, and denies it where nothing was', () => {
    const webgpu = record({ backend: 'webgpu', suites: ['contract: webgpu on mesa'] });
    const tests = [webgpu, record({ backend: 'cuda' }), record({ backend: 'host' })];
    const software = file(run({ tests }), 'README.md');
    expect(software).toContain('**No test of this run ran on a real GPU.**');
    expect(software).toContain('| webgpu | software |');
    expect(software).toContain('| cuda | emulated |');
    expect(software).toContain('| host | host memory |');
    const hardware = [record({ backend: 'webgpu', suites: ['contract: webgpu on hardware'] })];
    const backends = backendFacts({ adapter: 'hardware', description: 'a GPU' }, hardware);
    expect(file(run({ tests: hardware }, { backends }), 'README.md')).toContain(
      'Some tests ran on a real GPU',
    );
    const skipped = hardware.map((test): TestRecord => ({ ...test, outcome: 'skipped' }));
    expect(file(run({ tests: skipped }, { backends }), 'README.md')).toContain(
      '**No test of this run ran on a real GPU.**',
    );
    // What the tests' names say and what the probe found have to agree.
    expect(backendFacts({ adapter: 'hardware', description: 'a GPU' }, [webgpu]).webgpu.execution).toBe(
      'not known',
    );
    expect(backendFacts(null, [webgpu]).webgpu.execution).toBe('not known');
  });

  it('reports every test once, with result, time, backend and reasons', () => {
    const tests = [
      record({ name: 'one | two\n`x`', outcome: 'failed', errors: ['expected 1'] }),
      record({ outcome: 'skipped', note: 'no compiler' }),
      record({ retries: 2 }),
    ];
    const of = run({ tests });
    const report = file(of, 'test_report.md');
    expect(report).toContain('## other: 1 passed, 1 failed, 1 skipped');
    expect(report).toContain(
      '| **failed**: expected 1 | 2 | none, no device | test/unit/made-up.test.ts | a suite: one \\| two \\`x\\` |',
    );
    expect(report).toContain('**skipped**: no compiler');
    expect(report).toContain('passed, after 2 retries');
    expect(file(of, 'README.md')).toContain('- 1 test: no compiler');
    const rows = file(of, 'results.ndjson')
      .trimEnd()
      .split('\n')
      .map((line): unknown => JSON.parse(line));
    expect(rows.slice(0, 3)).toEqual(tests);
    expect(rows[3]).toMatchObject({ kind: 'summary', complete: false, passed: 1, failed: 1, skipped: 1 });
  });

  it('has sums over all its other files, and a name that tells of changes', () => {
    const files = renderBundle(run());
    expect([...files.keys()]).toEqual([
      'README.md',
      'test_report.md',
      'spec_coverage.md',
      'environment.json',
      'results.ndjson',
      'SHA256SUMS',
    ]);
    const sums = files.get('SHA256SUMS') ?? '';
    for (const [name, text] of files) {
      if (name !== 'SHA256SUMS')
        expect(sums).toContain(`${createHash('sha256').update(text).digest('hex')}  ${name}\n`);
    }
    expect(bundleName(run().environment)).toBe('2026-01-02T03-04-05Z-0123456789ab');
    expect(bundleName(run({}, { changed: true }).environment)).toBe(
      '2026-01-02T03-04-05Z-0123456789ab-changed',
    );
    expect(bundleName(run({}, { commit: null }).environment)).toBe('2026-01-02T03-04-05Z-no-commit');
  });

  it('what is signed names every file with its digest', () => {
    const sums = renderBundle(run()).get('SHA256SUMS') ?? '';
    const statement = JSON.parse(bundleStatement(sums, summarise(run())));
    expect(statement.subject).toHaveLength(5);
    expect(statement.predicate).toMatchObject({ complete: true, failed: 0 });
    expect(() => bundleStatement('no sum', summarise(run()))).toThrow();
  });
});

describe('placing', () => {
  it.each([
    ['test/contract/host.test.ts', ['contract: host'], 'contract', 'host'],
    ['test/contract/webgpu.test.ts', ['contract: webgpu on mesa'], 'contract', 'webgpu'],
    ['test/contract/cuda.test.ts', ['contract: cuda (emulated driver)'], 'CUDA', 'cuda'],
    ['test/unit/manager/backends.test.ts', ["manager on 'webgpu on mesa'"], 'seal', 'webgpu'],
    [
      'test/unit/manager/backends.test.ts',
      ["manager on 'cuda without virtual memory (emulated…'"],
      'seal',
      'cuda',
    ],
    ['test/features/a.test.ts', ['Sealing a model (webgpu on mesa)', 'At capacity'], 'features', 'webgpu'],
    [
      'test/features/a.test.ts',
      ['Sealing a model (cuda (emulated driver))', 'At capacity'],
      'features',
      'cuda',
    ],
    ['test/features/a.test.ts', ['Sealing a model (host in segments of 64 KiB)'], 'features', 'host'],
    ['test/unit/manager/operations/seal.test.ts', ['seal refuses'], 'validation', 'host'],
    ['test/unit/manager/operations/seal.test.ts', ['seal'], 'seal', 'host'],
    ['test/unit/policy/decide.test.ts', ['[VP-002] classification'], 'policy', 'none'],
    ['test/unit/nothing-known.test.ts', [], 'other', 'none'],
  ])('%s %j: %s on %s', (of, suites, group, backend) => {
    expect(placeTest(of, suites, 'a test')).toEqual({ group, backend });
  });

  it('a name that only mentions a backend does not choose it', () => {
    expect(
      placeTest('test/unit/policy/decide.test.ts', ['decision'], 'a hardware WebGPU adapter is unproven')
        .backend,
    ).toBe('none');
    expect(
      placeTest('test/unit/policy/decide.test.ts', ['decision'], 'a host backend that claims everything')
        .backend,
    ).toBe('none');
  });

  it('ids are read from names, requirements from lists and tables', () => {
    expect(requirementIds(['[AA-001] [AA-002] x', 'y [AA-001]', 'AA-003'])).toEqual(['AA-001', 'AA-002']);
    const markdown =
      '# Title\n- AA-001 First.\n| `AA-002` | Second | x |\n**AA-003** Third\ntext AA-004 inside\n- AA-001 again\n';
    expect(readRequirements(markdown)).toEqual([
      { id: 'AA-001', text: 'First.' },
      { id: 'AA-002', text: 'Second' },
      { id: 'AA-003', text: 'Third' },
    ]);
  });
});

describe('the reporter on a real run', () => {
  const cache = join(root, '.cache');
  let folder = '';
  let bundle = '';
  const read = (name: string): string => readFileSync(join(bundle, name), 'utf8');

  beforeAll(async () => {
    mkdirSync(cache, { recursive: true });
    folder = mkdtempSync(join(cache, 'proof-'));
    const head = "import { describe, expect, it } from 'vitest';\n";
    writeFileSync(
      join(folder, 'mixed.test.ts'),
      `${head}describe('[AA-001] outer', () => { describe('inner', () => {
        it('[AA-002] passes', () => expect(1).toBe(1));
        it('fails', () => expect(1).toBe(2));
        it.skip('NOT RUN: no such thing', () => undefined);
        it('skips itself', ({ skip }) => skip('for a reason'));
        it.todo('is to be written');
      }); });\n`,
    );
    writeFileSync(join(folder, 'broken.test.ts'), `${head}throw new Error('does not load');\n`);
    writeFileSync(
      join(folder, 'hook.test.ts'),
      `import { afterAll, it } from 'vitest';\nit('passes before its hook fails', () => undefined);\nafterAll(() => { ` +
        `throw new Error('the hook'); });\n`,
    );
    writeFileSync(join(folder, 'other.test.ts'), `${head}it('is left out', () => expect(1).toBe(1));\n`);
    writeFileSync(join(folder, 'vitest.config.ts'), 'export default {};\n');
    const child = promisify(execFile)(
      process.execPath,
      [
        join(root, 'node_modules/vitest/vitest.mjs'),
        'run',
        'mixed',
        'broken',
        'hook',
        `--root=${folder}`,
        `--reporter=${join(root, 'test/support/proof-reporter.ts')}`,
      ],
      {
        cwd: folder,
        env: {
          ...process.env,
          VRAM_RESIDENCY_PROOF_DIRECTORY: join(folder, 'out'),
          VRAM_RESIDENCY_TEST_ADAPTER: 'host',
        },
      },
    );
    // The run is red.
    await expect(child).rejects.toMatchObject({ code: 1 });
    bundle = join(folder, 'out', readFileSync(join(folder, 'out', 'latest'), 'utf8').trim());
  }, 120_000);

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('tells every outcome as it was', () => {
    const rows = read('results.ndjson')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    const outcomes = rows
      .filter(({ kind, file: name }) => kind === 'test' && name === 'mixed.test.ts')
      .map(({ name, outcome, note, errors }) => [name, outcome, note, errors.length]);
    expect(outcomes).toEqual([
      ['[AA-002] passes', 'passed', null, 0],
      ['fails', 'failed', null, 1],
      ['NOT RUN: no such thing', 'skipped', null, 0],
      ['skips itself', 'skipped', 'for a reason', 0],
      ['is to be written', 'skipped', null, 0],
    ]);
    expect(rows.find(({ name }) => name === 'fails').suites).toEqual(['[AA-001] outer', 'inner']);
    expect(rows.find(({ name }) => name === '[AA-002] passes').requirements).toEqual(['AA-001', 'AA-002']);
    expect(
      rows
        .filter(({ kind }) => kind === 'problem')
        .map(({ file: name, message }) => [name, message])
        .sort(),
    ).toEqual([
      ['broken.test.ts', 'does not load'],
      ['hook.test.ts', 'the hook'],
    ]);
    expect(rows.at(-1)).toMatchObject({ kind: 'summary', complete: false, passed: 2, failed: 1, skipped: 3 });
  });

  it('is not complete, says that files were left out, and names no folder of this machine', () => {
    expect(read('README.md')).toContain('**Not complete.** ');
    expect(read('README.md')).toContain('only a part was run: 1 test files were left out');
    for (const name of readdirSync(bundle)) expect(read(name)).not.toContain(root);
    for (const line of read('SHA256SUMS').trimEnd().split('\n')) {
      const [sum, name] = line.split('  ');
      expect(
        createHash('sha256')
          .update(read(name ?? ''))
          .digest('hex'),
      ).toBe(sum);
    }
  });
});
