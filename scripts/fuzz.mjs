// Structure-aware fuzzing of all code that reads foreign bytes, over the built library:
//   node scripts/fuzz.mjs [--format NAME]... [--runs N | --minutes M] [--seed S] [--only RUN] [--json] [--library FOLDER]
// A failing input is written to .cache/fuzz/ and its run can be repeated with the same seed and --only.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { FuzzFailure, fuzz, loadTargets } from '../test/fuzz/run.mjs';

const root = new URL('../', import.meta.url);
const { values } = parseArgs({
  options: {
    format: { type: 'string', multiple: true },
    runs: { type: 'string' },
    /** Shared equally among all targets. */
    minutes: { type: 'string' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string' },
    json: { type: 'boolean', default: false },
    library: { type: 'string', default: fileURLToPath(new URL('dist', root)) },
  },
});

function usage(problem) {
  console.error(problem);
  process.exit(2);
}

function integer(name, text) {
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value)) usage(`--${name} must be a number`);
  return value;
}

if (values.runs !== undefined && values.minutes !== undefined) usage('give --runs or --minutes, not both');
const runs = integer('runs', values.runs ?? '100000');
const minutes = values.minutes === undefined ? null : integer('minutes', values.minutes);
const seed = integer('seed', values.seed);
const only = values.only === undefined ? null : integer('only', values.only);
const library = pathToFileURL(`${resolve(values.library)}/`);
if (!existsSync(new URL('base/errors.js', library))) usage('the library is not built: npm run build');

const targets = await loadTargets();
const known = targets.map(({ name }) => name);
for (const format of values.format ?? []) {
  if (!known.includes(format)) usage(`--format must be one of ${known.join(', ')}`);
}

const load = (module) => import(new URL(module, library).href);
const started = process.cpuUsage();
const chosen = targets.filter(({ name }) => values.format?.includes(name) ?? true);
const limit =
  minutes === null
    ? { runs }
    : { runs: Number.MAX_SAFE_INTEGER, milliseconds: (minutes * 60_000) / chosen.length };
for (const target of chosen) {
  const before = process.cpuUsage();
  if (typeof target.missing === 'string') {
    console.error(`WARNING: ${target.name} is not run: ${target.missing}`);
    continue;
  }
  try {
    const report = await fuzz(target, load, {
      ...limit,
      runs: Math.ceil(limit.runs / (target.cost ?? 1)),
      seed,
      only,
      onProgress,
    });
    const { user, system } = process.cpuUsage(before);
    print(report, (user + system) / 1e6);
  } catch (error) {
    if (!(error instanceof FuzzFailure)) throw error;
    const folder = new URL('.cache/fuzz/', root);
    mkdirSync(folder, { recursive: true });
    const file = new URL(`${target.name}-${seed}.bin`, folder);
    writeFileSync(
      file,
      typeof error.input === 'string' || error.input instanceof Uint8Array
        ? error.input
        : JSON.stringify(error.input),
    );
    console.error(error);
    console.error(`input: ${fileURLToPath(file)}`);
    process.exit(1);
  }
}
const total = process.cpuUsage(started);
if (!values.json) console.error(`${((total.user + total.system) / 1e6).toFixed(1)} CPU seconds in all`);

function onProgress(done) {
  if (process.stderr.isTTY) process.stderr.write(`\r${done} runs `);
}

function print(report, cpuSeconds) {
  const { target, accepted, refused, refusals } = report;
  if (process.stderr.isTTY) process.stderr.write('\r');
  if (values.json) {
    console.log(JSON.stringify({ ...report, refusals: Object.fromEntries(refusals), cpuSeconds }));
    return;
  }
  console.log(
    `${target}: ${report.runs} runs of seed ${seed}: ${accepted} accepted, ${refused} refused in ${refusals.size} ` +
      `ways, 0 failures, ${cpuSeconds.toFixed(1)} CPU seconds`,
  );
  if (only !== null) console.log([...refusals.keys()].join('\n'));
}
