import { createHash } from 'node:crypto';
import { type BackendKey, type GroupName, PROOF_GROUPS } from './proof-groups.js';
import type { ProofRun, Requirement, TestOutcome, TestRecord } from './proof-model.js';

export interface GroupResult {
  readonly name: GroupName;
  readonly shows: string;
  readonly least: number;
  readonly tests: readonly TestRecord[];
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export type Coverage = 'proved' | 'failing' | 'not covered';

export interface RequirementResult extends Requirement {
  readonly tests: readonly TestRecord[];
  /** Proved: some test of it passed and none failed. Skipped tests prove nothing. */
  readonly coverage: Coverage;
}

export interface ProofSummary {
  readonly kind: 'summary';
  readonly complete: boolean;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly groups: readonly { readonly name: string; readonly passed: number; readonly least: number }[];
  readonly requirements: { readonly proved: number; readonly failing: number; readonly uncovered: number };
  /** Why the bundle is not complete, one sentence each. */
  readonly shortcomings: readonly string[];
}

const count = (tests: readonly TestRecord[], ...outcomes: readonly TestOutcome[]): number =>
  tests.filter(({ outcome }) => outcomes.includes(outcome)).length;

function groupResults(tests: readonly TestRecord[]): GroupResult[] {
  return PROOF_GROUPS.map(({ name, shows, least }) => {
    const own = tests.filter(({ group }) => group === name);
    return {
      name,
      shows,
      least,
      tests: own,
      passed: count(own, 'passed'),
      failed: count(own, 'failed', 'not finished'),
      skipped: count(own, 'skipped'),
    };
  });
}

function requirementResults({ requirements, tests }: ProofRun): RequirementResult[] {
  return requirements.map((requirement) => {
    const own = tests.filter((test) => test.requirements.includes(requirement.id));
    const failing = count(own, 'failed', 'not finished') > 0;
    const coverage: Coverage = failing ? 'failing' : count(own, 'passed') > 0 ? 'proved' : 'not covered';
    return { ...requirement, tests: own, coverage };
  });
}

/** What the run amounts to; a run that was narrowed, cut off or in part red is never complete. */
export function summarise(run: ProofRun): ProofSummary {
  const groups = groupResults(run.tests);
  const requirements = requirementResults(run);
  const failed = count(run.tests, 'failed', 'not finished');
  const unknown = new Set(run.tests.flatMap((test) => test.requirements));
  for (const { id } of run.requirements) unknown.delete(id);
  const uncovered = requirements.filter(({ coverage }) => coverage === 'not covered').map(({ id }) => id);
  const shortcomings = [
    ...(run.tests.length === 0 ? ['no test ran'] : []),
    ...(run.environment.filter === null ? [] : [`only a part was run: ${run.environment.filter}`]),
    ...(failed > 0 ? [`${tests(failed)} failed or did not finish`] : []),
    ...run.problems.map(
      ({ file, message }) => `outside of tests${file === null ? '' : `, in ${file}`}: ${message}`,
    ),
    ...groups
      .filter(({ passed, least }) => passed < least)
      .map(({ name, passed, least }) => `group "${name}": ${passed} passed, at least ${least} are needed`),
    ...(requirements.length === 0 ? ['the list of requirements is missing'] : []),
    ...(uncovered.length > 0 ? [`covered by no test that passed: ${uncovered.join(', ')}`] : []),
    ...(requirements.length > 0 && unknown.size > 0
      ? [`tests name requirements that are not in the list: ${[...unknown].sort().join(', ')}`]
      : []),
  ];
  const covered = (coverage: Coverage): number =>
    requirements.filter((requirement) => requirement.coverage === coverage).length;
  return {
    kind: 'summary',
    complete: shortcomings.length === 0,
    passed: count(run.tests, 'passed'),
    failed,
    skipped: count(run.tests, 'skipped'),
    groups: groups.map(({ name, passed, least }) => ({ name, passed, least })),
    requirements: {
      proved: covered('proved'),
      failing: covered('failing'),
      uncovered: covered('not covered'),
    },
    shortcomings,
  };
}

/** The files of a bundle by name, SHA256SUMS last and over all the others. */
export function renderBundle(run: ProofRun): Map<string, string> {
  const summary = summarise(run);
  const files = new Map<string, string>([
    ['README.md', readme(run, summary)],
    ['test_report.md', testReport(run)],
    ['spec_coverage.md', specCoverage(run)],
    ['environment.json', `${JSON.stringify(run.environment, null, 2)}\n`],
    ['results.ndjson', ndjson([...run.tests, ...run.problems, summary])],
  ]);
  const sums = [...files].map(
    ([name, text]) => `${createHash('sha256').update(text).digest('hex')}  ${name}\n`,
  );
  files.set('SHA256SUMS', sums.join(''));
  return files;
}

/** `2026-11-22T17-05-09Z-0123456789ab`, with `-changed` where the tree differs from the commit. */
export function bundleName({ startedAt, commit, changed }: ProofRun['environment']): string {
  const stamp = startedAt.replace(/\.\d+Z$/, 'Z').replaceAll(':', '-');
  return `${stamp}-${commit?.slice(0, 12) ?? 'no-commit'}${changed === true ? '-changed' : ''}`;
}

function readme(run: ProofRun, summary: ProofSummary): string {
  const { environment } = run;
  const skipReasons = new Map<string, number>();
  for (const test of run.tests.filter(({ outcome }) => outcome === 'skipped')) {
    const reason = test.note ?? reasonInNames(test);
    skipReasons.set(reason, (skipReasons.get(reason) ?? 0) + 1);
  }
  return lines(
    '# Proof bundle: unit',
    '',
    summary.complete
      ? `**Complete.** ${tests(summary.passed)} passed, none failed, ${summary.skipped} skipped.`
      : `**Not complete.** ${tests(summary.passed)} passed, ${summary.failed} failed, ${summary.skipped} skipped.`,
    '',
    ...summary.shortcomings.map((shortcoming) => `- ${plain(shortcoming)}`),
    ...(summary.shortcomings.length > 0 ? [''] : []),
    `Version ${environment.version}, commit ${environment.commit ?? 'not known'}${changes(environment.changed)}. ` +
      `From ${environment.startedAt} to ${environment.finishedAt}, Node ${environment.node}, ${environment.platform} ` +
      `${environment.arch}, ` +
      `${environment.cores} cores (${environment.cpu}). Everything here was written from the results of that one run.`,
    '',
    '## What ran on what',
    '',
    ...backendLines(run),
    '',
    '## Groups',
    '',
    '| group | passed | failed | skipped | needed | shows, where it passed |',
    '|---|---|---|---|---|---|',
    ...groupResults(run.tests)
      .filter((group) => group.tests.length > 0 || group.least > 0)
      .map(
        ({ name, passed, failed, skipped, least, shows }) =>
          `| ${name} | ${passed} | ${failed} | ${skipped} | ${least === 0 ? '' : least} | ${shows} |`,
      ),
    '',
    '## Requirements',
    '',
    `${summary.requirements.proved} proved, ${summary.requirements.failing} failing, ` +
      `${summary.requirements.uncovered} not covered; see spec_coverage.md.`,
    '',
    '## Skipped',
    '',
    ...(skipReasons.size === 0
      ? ['Nothing was skipped.']
      : [...skipReasons].map(([reason, number]) => `- ${tests(number)}: ${plain(reason)}`)),
    '',
    '## How to check',
    '',
    '`sha256sum -c SHA256SUMS` in this folder checks the files against each other. If SHA256SUMS.dsse.json is here, ' +
      'it is an in-toto statement over',
    "the same digests, signed with Ed25519 in a DSSE envelope; whoever trusts the signer's public key can tell who " +
      'says so, not that it is true: check out the',
    'commit and run `npm run proof`.',
    '',
  );
}

function backendLines(run: ProofRun): string[] {
  const used = new Map<BackendKey, TestRecord[]>();
  for (const test of run.tests) used.set(test.backend, [...(used.get(test.backend) ?? []), test]);
  const rows = [...used].map(([key, own]) => {
    const { execution, description } = run.environment.backends[key];
    return (
      `| ${key} | ${execution} | ${plain(description)} | ${count(own, 'passed')} | ` +
      `${count(own, 'failed', 'not finished')} | ${count(own, 'skipped')} |`
    );
  });
  const real = [...used].some(
    ([key, own]) => run.environment.backends[key].execution === 'real hardware' && count(own, 'passed') > 0,
  );
  return [
    real
      ? 'Some tests ran on a real GPU: those whose row says "real hardware".'
      : '**No test of this run ran on a real GPU.** What passed was shown on software adapters, emulated drivers and ' +
        'host memory.',
    '',
    '| backend | execution | what it is | passed | failed | skipped |',
    '|---|---|---|---|---|---|',
    ...rows,
  ];
}

function testReport(run: ProofRun): string {
  const { backends } = run.environment;
  return lines(
    '# Test report',
    '',
    ...groupResults(run.tests).flatMap((group) => {
      if (group.tests.length === 0) return [];
      return [
        `## ${group.name}: ${group.passed} passed, ${group.failed} failed, ${group.skipped} skipped`,
        '',
        group.shows,
        '',
        '| result | ms | backend | test | what it shows |',
        '|---|---|---|---|---|',
        ...group.tests.map(
          (test) =>
            `| ${outcomeText(test)} | ${test.durationMs === null ? '' : Math.round(test.durationMs)} | ` +
            `${test.backend}, ${backends[test.backend].execution} | ${plain(test.file)} | ` +
            `${plain([...test.suites, test.name].join(': '))} |`,
        ),
        '',
      ];
    }),
    ...(run.problems.length === 0
      ? []
      : [
          '## Outside of tests',
          '',
          ...run.problems.map(({ file, message }) => `- ${plain(`${file ?? ''} ${message}`)}`),
          '',
        ]),
  );
}

function specCoverage(run: ProofRun): string {
  const results = requirementResults(run);
  const uncovered = results.filter(({ coverage }) => coverage === 'not covered');
  return lines(
    '# Coverage of the requirements',
    '',
    results.length === 0
      ? 'The list of requirements is missing: nothing can be said.'
      : uncovered.length === 0
        ? 'Every requirement has a test that passed in this run.'
        : `Not covered by a test that passed: ${uncovered.map(({ id }) => id).join(', ')}.`,
    '',
    ...results.flatMap(({ id, text, tests: own, coverage }) => [
      `## ${id}: ${coverage}`,
      '',
      plain(text),
      '',
      ...(own.length === 0
        ? ['No test carries this id.']
        : own.map(
            (test) =>
              `- ${outcomeText(test)} (${test.backend}, ${run.environment.backends[test.backend].execution}): ` +
              `${plain(`${test.file}: ${[...test.suites, test.name].join(': ')}`)}`,
          )),
      '',
    ]),
  );
}

function outcomeText(test: TestRecord): string {
  const flaky = test.retries > 0 ? `, after ${test.retries} retries` : '';
  const why = test.errors.length > 0 ? `: ${plain(test.errors.join('; '))}` : '';
  const note = test.note === null ? '' : `: ${plain(test.note)}`;
  return `${test.outcome === 'passed' ? 'passed' : `**${test.outcome}**`}${flaky}${why}${note}`;
}

/** Reasons stand in the names of skipped tests or of the suites around them. */
function reasonInNames(test: TestRecord): string {
  return (
    [test.name, ...test.suites].find((name) => /skipped|NOT RUN|needs|without|no /i.test(name)) ??
    'no reason given'
  );
}

const changes = (changed: boolean | null): string =>
  changed === null ? '' : changed ? ', **with changes that are not in that commit**' : ', unchanged';
const tests = (number: number): string => `${number} ${number === 1 ? 'test' : 'tests'}`;
const lines = (...parts: readonly string[]): string => `${parts.join('\n').trimEnd()}\n`;
const ndjson = (values: readonly unknown[]): string =>
  values.map((value) => `${JSON.stringify(value)}\n`).join('');

/** Text of tests in a Markdown table: one line, no cell borders, control characters or markup of its own. */
function plain(text: string): string {
  return text
    .replace(/[\p{Cc}\u2028\u2029]+/gu, ' ')
    .replace(/[\\|`*_<>[\]]/g, '\\$&')
    .trim();
}
