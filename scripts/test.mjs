// npm test: builds, runs every quick test, and reports what ran on which device and what could not run. Failures,
// skips with their reasons and groups come from test/support/summary-reporter.ts. Ends with one line: N passed, N failed, N
// skipped. With --proof it also writes a proof bundle, which scripts/proof.mjs checks. --skipped=TEXT reports and counts a
// step that could not run before. Other arguments go to vitest.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { quietLines } from './driver-noise.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const node = (...args) => spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
const warnings = [];
const PROOF = '--proof';
const SKIPPED = '--skipped=';
const given = process.argv.slice(2);
const proof = given.includes(PROOF);
const before = given.filter((one) => one.startsWith(SKIPPED)).map((one) => one.slice(SKIPPED.length));
const filters = given.filter((one) => one !== PROOF && !one.startsWith(SKIPPED));

function must(...args) {
  const { status, signal } = node(...args);
  if (status !== 0) {
    console.error(`${args.join(' ')} failed (${signal ?? status})`);
    process.exit(status ?? 1);
  }
}

const NO_COMPILER = 3;
function optional(what, ...args) {
  const { status } = node(...args);
  if (status === NO_COMPILER)
    warnings.push(`no C++ compiler found: ${what} was not built, its tests are skipped`);
  else if (status !== 0) process.exit(status ?? 1);
}

must('scripts/build.mjs');
optional('the CUDA addon', 'scripts/build-native.mjs');
optional('the CUDA driver emulator', 'scripts/build-emulator.mjs');
must('scripts/build-cuda.mjs', '--check');
must('scripts/hardware.mjs', '--check');

mkdirSync(`${root}.cache`, { recursive: true });
const results = `${root}.cache/test-results.json`;
rmSync(results, { force: true });
/** Like node(), but without irrelevant output of drivers on stderr. */
function quietly(...args) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { cwd: root, stdio: ['inherit', 'inherit', 'pipe'] });
    const stderr = quietLines((text) => process.stderr.write(text));
    child.stderr.setEncoding('utf8').on('data', stderr.take);
    child.on('error', reject);
    child.on('close', (status) => {
      stderr.end();
      resolve({ status });
    });
  });
}

const vitest = await quietly(
  'node_modules/vitest/vitest.mjs',
  'run',
  '--reporter=./test/support/summary-reporter.ts',
  '--reporter=json',
  `--outputFile.json=${results}`,
  ...(proof ? ['--reporter=./test/support/proof-reporter.ts'] : []),
  ...filters,
);

let report;
try {
  report = JSON.parse(readFileSync(results, 'utf8'));
} catch {
  console.error('the test runner ended without a report');
  process.exit(vitest.status || 1);
}

const skipped = report.testResults
  .flatMap((file) => file.assertionResults)
  .filter(({ status }) => status === 'skipped' || status === 'pending' || status === 'todo');
const brokenFiles = report.testResults.filter(
  (file) => file.status === 'failed' && file.assertionResults.length === 0,
).length;

console.log('');
// A whole run must show every requirement. Tests that did not run for want of a compiler are a warning.
const strict = warnings.length === 0 ? ['--strict'] : [];
const uncovered = filters.length === 0 && node('scripts/requirements.mjs', ...strict).status !== 0;
for (const warning of warnings) console.log(`WARNING: ${warning}`);
for (const name of before) console.log(`skipped  ${name}`);
const failed = report.numFailedTests + brokenFiles;
console.log(`${report.numPassedTests} passed, ${failed} failed, ${skipped.length + before.length} skipped`);
process.exit(failed > 0 || vitest.status !== 0 || uncovered ? 1 : 0);
