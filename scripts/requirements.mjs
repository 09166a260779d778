// npm run requirements: counts, from the results of a whole run (.cache/test-results.json, as `npm test` leaves it), which
// tests show which requirement of docs/requirements.md. Exit 1 if a requirement has a failed test or none that passed, if
// it has no mutation that went red in docs/evidence.md, or if a test names an unknown requirement. If all tests of one were
// skipped, because the machine lacks what they need, that is a warning; --strict makes it an error.
// --write updates the lists of test files in docs/requirements.md.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const DOCUMENT = 'docs/requirements.md';
const EVIDENCE = 'docs/evidence.md';
const RESULTS = '.cache/test-results.json';
const HEADING = /^\*\*([A-Z]{2}-\d{3})\*\*/gm;

/** Ids in the order of the document. */
export function requirementIds() {
  const ids = [...readFileSync(root + DOCUMENT, 'utf8').matchAll(HEADING)].map(([, id]) => id);
  const twice = ids.find((id, index) => ids.indexOf(id) !== index);
  if (twice !== undefined) throw new Error(`${DOCUMENT} has ${twice} twice`);
  return ids;
}

/** Replaces the text between a document's markers of this name, or appends both if there are none. */
export function replaceSection(file, name, content) {
  const begin = `<!-- ${name}: made by a script -->`;
  const end = `<!-- end of ${name} -->`;
  const old = existsSync(root + file) ? readFileSync(root + file, 'utf8') : '# Evidence\n';
  const section = `${begin}\n${content}\n${end}`;
  const from = old.indexOf(begin);
  const to = old.indexOf(end);
  const text =
    from < 0 || to < 0
      ? `${old.trimEnd()}\n\n${section}\n`
      : old.slice(0, from) + section + old.slice(to + end.length);
  writeFileSync(root + file, text);
}

/** Tests by the ids in their names: how many passed, failed and were skipped, and their files. */
function coverage(report) {
  const found = new Map();
  for (const { name, assertionResults } of report.testResults) {
    const file = relative(root, name);
    for (const { fullName, status } of assertionResults) {
      for (const id of new Set([...fullName.matchAll(/\[([A-Z]{2}-\d{3})\]/g)].map(([, each]) => each))) {
        const entry = found.get(id) ?? { passed: 0, failed: [], skipped: 0, files: new Set() };
        if (status === 'passed') entry.passed += 1;
        else if (status === 'failed') entry.failed.push(fullName);
        else entry.skipped += 1;
        entry.files.add(file);
        found.set(id, entry);
      }
    }
  }
  return found;
}

/** Files in which no test could run here. A file may not even define its tests if a requirement is missing. */
function filesNotRun(report) {
  const idle = report.testResults.filter(
    ({ assertionResults }) =>
      assertionResults.length > 0 &&
      assertionResults.every(({ status }) => status !== 'passed' && status !== 'failed'),
  );
  return new Set(idle.map(({ name }) => relative(root, name)));
}

/** The test files that the document lists for each id. */
function documentedFiles() {
  const files = new Map();
  let id = '';
  for (const line of readFileSync(root + DOCUMENT, 'utf8').split('\n')) {
    id = /^\*\*([A-Z]{2}-\d{3})\*\*/.exec(line)?.[1] ?? id;
    if (line.startsWith('- Tests: '))
      files.set(
        id,
        [...line.matchAll(/`([^`]+)`/g)].map(([, file]) => file),
      );
  }
  return files;
}

/** Ids whose mutation is recorded as red. */
function mutated() {
  if (!existsSync(root + EVIDENCE)) return new Set();
  const rows = readFileSync(root + EVIDENCE, 'utf8').matchAll(/^\| ([A-Z]{2}-\d{3}) \|.*\| red: /gm);
  return new Set([...rows].map(([, id]) => id));
}

function writeFiles(found) {
  const text = readFileSync(root + DOCUMENT, 'utf8');
  let id = '';
  const lines = text.split('\n').map((line) => {
    id = /^\*\*([A-Z]{2}-\d{3})\*\*/.exec(line)?.[1] ?? id;
    if (!line.startsWith('- Tests: ')) return line;
    const files = [...(found.get(id)?.files ?? [])].sort().map((file) => `\`${file}\``);
    return `- Tests: ${files.join(', ') || 'none'}`;
  });
  writeFileSync(root + DOCUMENT, lines.join('\n'));
}

function main() {
  if (!existsSync(root + RESULTS)) {
    console.error(`${RESULTS} is missing: run npm test first, which writes it`);
    process.exit(1);
  }
  const strict = process.argv.includes('--strict');
  const report = JSON.parse(readFileSync(root + RESULTS, 'utf8'));
  const foreign = report.testResults.find(({ name }) => relative(root, name).startsWith('..'));
  if (foreign !== undefined && process.argv.includes('--write')) {
    console.error(`${RESULTS} was written in another checkout: run npm test here first`);
    process.exit(1);
  }
  const found = coverage(report);
  const notRun = filesNotRun(report);
  const documented = documentedFiles();
  if (process.argv.includes('--write')) writeFiles(found);
  const ids = requirementIds();
  const red = mutated();
  const errors = [];
  const skipped = [];
  let shown = 0;
  for (const id of ids) {
    const entry = found.get(id);
    if (entry === undefined) {
      const idle = (documented.get(id) ?? []).find((file) => notRun.has(file));
      if (idle === undefined) errors.push(`${id}: no test has this id`);
      else skipped.push(`${id}: ${idle} could not run here`);
    } else if (entry.failed.length > 0) errors.push(`${id}: failed: ${entry.failed[0]}`);
    else if (entry.passed === 0) {
      skipped.push(`${id}: all of its ${entry.skipped} tests were skipped here`);
    } else shown += 1;
    if (!red.has(id)) errors.push(`${id}: no mutation of its code is recorded as red in ${EVIDENCE}`);
  }
  for (const id of found.keys())
    if (!ids.includes(id)) errors.push(`${id}: named by a test, not in ${DOCUMENT}`);
  if (strict) errors.push(...skipped);
  else for (const message of skipped) console.log(`WARNING: requirement ${message}`);
  for (const error of errors) console.error(`requirement ${error}`);
  console.log(`requirements: ${shown} of ${ids.length} shown by passing tests`);
  return errors.length > 0 ? 1 : 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exit(main());
