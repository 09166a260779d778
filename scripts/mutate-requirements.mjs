// npm run mutate:requirements: shows that the tests of every requirement can fail. Each textual mutation in
// test/mutations/requirements.json is applied alone in a copy of the tree. The test file that guards the code runs there,
// first without the mutation, when it must be green, then with it, when a test with the requirement's id must fail. The
// table goes into docs/evidence.md, under "Requirements"; rows of mutations that were not requested stay as recorded.
// Arguments: ids, to try only these. Options: --new (only mutations without a row in docs/evidence.md), --jobs N (default
// 2), --keep (leave the copies).
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { replaceSection, requirementIds } from './requirements.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const TABLE = 'test/mutations/requirements.json';
/** A mutant that never ends counts as not shown: only a failed test counts as red. */
const LIMIT_MS = 240_000;
const NOT_COPIED = new Set([
  'node_modules',
  '.git',
  '.cache',
  'coverage',
  '.stryker-tmp',
  'reports',
  '.proof_bundle',
]);

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    jobs: { type: 'string', default: String(Math.min(2, cpus().length)) },
    keep: { type: 'boolean', default: false },
    new: { type: 'boolean', default: false },
  },
});

function copyTree() {
  const copy = mkdtempSync(join(tmpdir(), 'requirement-mutants-'));
  cpSync(root, copy, {
    recursive: true,
    preserveTimestamps: true,
    filter: (source) => !NOT_COPIED.has(source.slice(root.length).split('/')[0]),
  });
  for (const shared of ['node_modules', '.cache']) symlinkSync(join(root, shared), join(copy, shared));
  return copy;
}

/** Runs one test file in a copy. Returns each test's name with its result, or null if the runner wrote no report. */
function runTests(copy, file, id) {
  return new Promise((resolve) => {
    const out = join(copy, `mutation-${id ?? 'baseline'}.json`);
    const args = ['run', file, '--root', copy, '--reporter=json', `--outputFile=${out}`, '--maxWorkers=1'];
    if (id !== null) args.push('-t', `\\[${id}\\]`);
    const child = spawn(process.execPath, [join(root, 'node_modules/vitest/vitest.mjs'), ...args], {
      cwd: copy,
      stdio: 'ignore',
      detached: true,
    });
    const timer = setTimeout(() => process.kill(-child.pid, 'SIGKILL'), LIMIT_MS);
    child.on('exit', () => {
      clearTimeout(timer);
      try {
        const report = JSON.parse(readFileSync(out, 'utf8'));
        rmSync(out);
        resolve(
          report.testResults.flatMap(({ assertionResults }) =>
            assertionResults.map(({ fullName, status }) => ({ name: fullName, status })),
          ),
        );
      } catch {
        resolve(null);
      }
    });
  });
}

/** Applies a mutation and returns a function that undoes it. */
function mutate(copy, { file, find, replace, all = false }) {
  const path = join(copy, file);
  const text = readFileSync(path, 'utf8');
  const places = text.split(find).length - 1;
  if (places === 0 || (places > 1 && !all)) {
    throw new Error(`${TABLE}: ${JSON.stringify(find)} occurs ${places} times in ${file}`);
  }
  writeFileSync(path, text.split(find).join(replace));
  return () => writeFileSync(path, text);
}

async function tryMutation(copy, mutation, baseline) {
  const { id, test } = mutation;
  const key = `${id} ${test}`;
  baseline[key] ??= await runTests(copy, test, id);
  const named = (results) => (results ?? []).filter(({ name }) => name.includes(`[${id}]`));
  const green = named(baseline[key]).filter(({ status }) => status === 'passed');
  if (green.length === 0) return { verdict: 'no green test without the mutation', red: [], green: 0 };
  let undo;
  try {
    undo = mutate(copy, mutation);
  } catch (error) {
    return { verdict: error.message, red: [], green: green.length };
  }
  const results = await runTests(copy, test, id);
  undo();
  if (results === null) return { verdict: 'no report', red: [], green: green.length };
  const red = named(results).filter(
    ({ name, status }) => status === 'failed' && green.some((before) => before.name === name),
  );
  return {
    verdict: red.length > 0 ? 'red' : 'STAYED GREEN',
    red: red.map(({ name }) => name),
    green: green.length,
  };
}

function cell(text) {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}

/** The beginning of a mutation's row: everything except its outcome. */
function rowHead({ id, file, what, test }) {
  return `| ${id} | \`${file}\`: ${cell(what)} | \`${test}\` | `;
}

function row(mutation, { verdict, red }) {
  const first =
    red[0] === undefined ? '' : `${cell(red[0])}${red.length > 1 ? ` and ${red.length - 1} more` : ''}`;
  return `${rowHead(mutation)}${verdict}: ${first} |`;
}

/** The row of a mutation in docs/evidence.md; undefined if there is none. */
function recordedRow(mutation) {
  return recorded.find((line) => line.startsWith(rowHead(mutation)));
}

const EVIDENCE = 'docs/evidence.md';
const recorded = readFileSync(join(root, EVIDENCE), 'utf8').split('\n');
const table = JSON.parse(readFileSync(join(root, TABLE), 'utf8'));
const requested = table.filter(
  (mutation) =>
    (positionals.length === 0 || positionals.includes(mutation.id)) &&
    (!values.new || recordedRow(mutation) === undefined),
);
const outcomes = new Map();
const queue = [...requested];
let done = 0;

async function worker() {
  const copy = copyTree();
  const baseline = {};
  try {
    for (let mutation = queue.shift(); mutation !== undefined; mutation = queue.shift()) {
      const outcome = await tryMutation(copy, mutation, baseline);
      outcomes.set(mutation, outcome);
      done += 1;
      console.log(
        `${done}/${requested.length} ${mutation.id} ${outcome.verdict} (${outcome.red.length} of ${outcome.green}): ` +
          `${mutation.file}: ${mutation.what}`,
      );
    }
  } finally {
    if (!values.keep) rmSync(copy, { recursive: true, force: true });
  }
}

await Promise.all(Array.from({ length: Math.max(1, Number(values.jobs)) }, worker));

const failed = requested.filter((mutation) => outcomes.get(mutation)?.verdict !== 'red');
const missing = requirementIds().filter((id) => !table.some((mutation) => mutation.id === id));
const rows = table
  .map((mutation) => {
    const outcome = outcomes.get(mutation);
    return outcome === undefined ? recordedRow(mutation) : row(mutation, outcome);
  })
  .filter((line) => line !== undefined);
const red = rows.filter((line) => line.includes(' | red: ')).length;
const shown =
  `${red} of ${table.length} mutations went red; ${requirementIds().length - missing.length} of ` +
  `${requirementIds().length} requirements have one.`;
replaceSection(
  EVIDENCE,
  'requirements',
  [
    '## Requirements',
    '',
    'Each row is one change to the code that a requirement is enforced by, made alone in a copy of the tree, and a ' +
      'test with the',
    "requirement's id that was green before and red with it. Made by `npm run mutate:requirements` from " +
      '`test/mutations/requirements.json`.',
    '',
    shown,
    '',
    '| id | mutation | tests run | went red |',
    '|---|---|---|---|',
    ...rows,
  ].join('\n'),
);
for (const id of missing) console.error(`${id}: no mutation in ${TABLE}`);
for (const { id, file, what } of failed) console.error(`${id}: not shown by ${file}: ${what}`);
console.log(`${requested.length - failed.length} of ${requested.length} mutations went red`);
process.exit(failed.length > 0 || missing.length > 0 ? 1 : 0);
