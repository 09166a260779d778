// npm run mutate [-- FOLDER...]: mutation testing of the folders of src/ below with Stryker, one after the other, host
// backend alone. Writes reports/mutation/<folder>-incremental.json, to which runs of single files (--file) add up, and ends
// with a table; fails below 85 % killed in any folder. --tests FILE runs only these test files: quicker, and a lower bound,
// as other tests may kill what they leave. Minutes to hours.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));
const FOLDERS = ['policy', 'seal', 'manager', 'audit', 'handover', 'digest', 'engines', 'worker'];
/** What these rooms' tests hold too, though it lies on a lower floor. */
const BELOW = {
  seal: ['src/crypto/dsse.ts', 'src/base/base64.ts'],
  manager: [
    'src/events/operation.ts',
    'src/events/observers.ts',
    'src/base/clock.ts',
    'src/source/failure.ts',
  ],
};
/** What is judged of a folder where that is not all of it. */
const FILES = {
  // Without native/: mutants are switched on in one thread, and no addon is loaded there.
  handover: ['src/handover/*.ts'],
  // What reads and rewrites a graph. The rest needs a WebGPU adapter, whose driver does not live through threads that end.
  engines: ['src/engines/onnxruntime/graph/*.ts', 'src/engines/onnxruntime/model-reads.ts'],
};
const GOAL_PERCENT = 85;
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    file: { type: 'string', multiple: true },
    tests: { type: 'string', multiple: true },
    concurrency: { type: 'string', default: '1' },
    table: { type: 'boolean', default: false },
  },
});
const folders = positionals.length > 0 ? positionals : FOLDERS;
const unknown = folders.find((folder) => !FOLDERS.includes(folder));
if (unknown !== undefined) {
  console.error(`folder must be one of ${FOLDERS.join(', ')}`);
  process.exit(2);
}

/** Killed by a failing test, or by never ending; survived also where no test reaches the code. */
const FATES = { Killed: 'killed', Timeout: 'killed', Survived: 'survived', NoCoverage: 'survived' };

/** Null where the folder has no results yet. */
function summary(folder) {
  const path = `${root}reports/mutation/${folder}-incremental.json`;
  if (!existsSync(path)) return null;
  const report = JSON.parse(readFileSync(path, 'utf8'));
  const counts = { mutants: 0, killed: 0, timeout: 0, survived: 0, uncovered: 0, invalid: 0 };
  for (const { mutants } of Object.values(report.files)) {
    for (const { status } of mutants) {
      const fate = FATES[status];
      if (fate === undefined) {
        counts.invalid++;
        continue;
      }
      counts.mutants++;
      counts[fate]++;
      if (status === 'Timeout') counts.timeout++;
      if (status === 'NoCoverage') counts.uncovered++;
    }
  }
  return { ...counts, percent: (100 * counts.killed) / counts.mutants };
}

let failed = false;
if (!values.table) {
  for (const folder of folders) {
    const { status } = spawnSync(
      process.execPath,
      [
        'node_modules/@stryker-mutator/core/bin/stryker.js',
        'run',
        '--concurrency',
        values.concurrency,
        '--mutate',
        (values.file ?? FILES[folder] ?? [`src/${folder}/**/*.ts`, ...(BELOW[folder] ?? [])]).join(','),
      ],
      {
        cwd: root,
        stdio: 'inherit',
        env: {
          ...process.env,
          VRAM_RESIDENCY_MUTATE: folder,
          VRAM_RESIDENCY_MUTATE_TESTS: (values.tests ?? []).join(' '),
          VRAM_RESIDENCY_TEST_ADAPTER: 'host',
        },
      },
    );
    if (status !== 0) failed = true;
  }
}

console.log('| folder | mutants | killed | of them by time-out | survived | of them unreached | killed % |');
console.log('|---|---|---|---|---|---|---|');
for (const folder of folders) {
  const counts = summary(folder);
  if (counts === null) {
    console.error(`no results of src/${folder}`);
    failed = true;
    continue;
  }
  const { mutants, killed, timeout, survived, uncovered, percent } = counts;
  console.log(
    `| src/${folder} | ${mutants} | ${killed} | ${timeout} | ${survived} | ${uncovered} | ${percent.toFixed(1)} |`,
  );
  if (percent < GOAL_PERCENT) failed = true;
}
process.exit(failed ? 1 : 0);
