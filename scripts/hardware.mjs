// Writes the tables of docs/hardware.md and of the backends in README.md from docs/hardware/*.json, the reports of the
// hardware kit. `--check` tests whether they are current (exit 1 if not); `add DIR` adds the report in a folder that run.sh
// wrote. Exit code 2: wrong usage, or a report that is not from hardware.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../', import.meta.url));
const folder = join(root, 'docs/hardware');
const BEGIN = '<!-- made by scripts/hardware.mjs: begin -->';
const END = '<!-- made by scripts/hardware.mjs: end -->';
const NONE =
  'None yet: no report of a run on hardware has been made. Every figure about CUDA in this project is predicted.';

function leave(code, message) {
  process.stderr.write(`hardware: ${message}\n`);
  process.exit(code);
}

/** The stored reports, oldest first. */
function reports() {
  let names = [];
  try {
    names = readdirSync(folder).filter((name) => name.endsWith('.json'));
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
  return names
    .map((name) => ({ name, ...JSON.parse(readFileSync(join(folder, name), 'utf8')) }))
    .sort((a, b) => (a.date + a.name < b.date + b.name ? -1 : 1));
}

/** A report.ndjson as one document that begins with its identification. */
function documentOf(text, date) {
  const steps = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
  const environment = steps.find(({ step }) => step === 'environment')?.figures;
  if (environment?.gpu?.execution !== 'hardware') {
    leave(2, 'the report is not from hardware and must not appear among hardware measurements');
  }
  return {
    v: 1,
    card: environment.gpu.name,
    driver: environment.driver.version ?? environment.driver.cuda,
    date,
    kit: environment.kit,
    steps: withoutIdentity(steps),
  };
}

/** Removes the identity of the individual card, which is private. */
function withoutIdentity(value) {
  if (Array.isArray(value)) return value.map(withoutIdentity);
  if (typeof value !== 'object' || value === null) return value;
  const kept = Object.entries(value).filter(([name]) => name !== 'uuid');
  return Object.fromEntries(kept.map(([name, inner]) => [name, withoutIdentity(inner)]));
}

function add(from) {
  const text = readFileSync(join(from, 'report.ndjson'), 'utf8');
  const date = new Date().toISOString().slice(0, 10);
  const document = documentOf(text, date);
  const slug = `${document.card}-${document.driver}`.toLowerCase().replace(/[^a-z0-9.]+/g, '-');
  mkdirSync(folder, { recursive: true });
  const name = `${date}-${slug}-${document.kit.commit.slice(0, 7)}.json`;
  writeFileSync(join(folder, name), `${JSON.stringify(document, null, 1)}\n`, { flag: 'wx' });
  process.stdout.write(`hardware: docs/hardware/${name}\n`);
}

const stepOf = (report, name) => report.steps.find(({ step }) => step === name);
const figuresOf = (report, name) => stepOf(report, name)?.figures ?? {};
const count = (report, ...statuses) => report.steps.filter(({ status }) => statuses.includes(status)).length;
const orDash = (value, unit = '') => (value === undefined || value === null ? '–' : `${value}${unit}`);

function measuredTable(all) {
  if (all.length === 0) return NONE;
  const rows = all.map((report) => {
    const sweep = figuresOf(report, 'verify-sweep');
    const { fastest } = figuresOf(report, 'variants');
    return [
      `[${report.card}](hardware/${report.name})`,
      report.driver,
      report.date,
      `${count(report, 'passed')} / ${count(report, 'failed', 'timed-out')} / ${count(report, 'skipped')}`,
      orDash(sweep.GBps),
      orDash(sweep.predicted?.GBps),
      orDash(sweep.readback?.ratio, 'x'),
      orDash(sweep.sum?.GBps),
      fastest === undefined
        ? '–'
        : `${fastest.variant}, ${fastest.threads} threads: ${fastest.againstShipped}x`,
    ];
  });
  return table(
    [
      'card',
      'driver',
      'date',
      'steps passed / failed / skipped',
      'verified in place, GB/s',
      'predicted, GB/s',
      'against readback',
      'a kernel that only sums, GB/s',
      'fastest variant',
    ],
    rows,
  );
}

function stateTable(all) {
  const cuda = all.map(
    (report) =>
      `on ${report.card} (driver ${report.driver}, ${report.date}) ${count(report, 'passed')} steps of the [hardware ` +
      `kit](docs/hardware.md) passed, ` +
      `${count(report, 'failed', 'timed-out')} failed`,
  );
  const webgpu = all
    .filter((report) => stepOf(report, 'webgpu')?.status === 'passed')
    .filter((report) => figuresOf(report, 'webgpu').execution === 'hardware')
    .map(
      (report) =>
        `the same suite on ${report.card} (driver ${report.driver}, ${report.date}) by the [hardware kit](docs/hardware.md)`,
    );
  return table(
    ['backend', 'what has been run', 'what has not'],
    [
      [
        '`webgpu` in Node (Dawn)',
        ['the contract suite on two software adapters: Mesa llvmpipe and SwiftShader', ...webgpu].join('; '),
        webgpu.length === 0
          ? 'any hardware GPU; macOS and Windows'
          : 'other cards and vendors than these; macOS and Windows',
      ],
      [
        '`webgpu` in pages',
        'the contract suite and a seal-verify run in Chromium on SwiftShader',
        'hardware GPUs, Firefox, Safari',
      ],
      [
        '`cuda`',
        [
          'the contract suite and a fault sweep over an emulated driver that executes the very PTX that ships',
          ...cuda,
        ].join('; '),
        cuda.length === 0
          ? 'any NVIDIA GPU: machine code, JIT, concurrency and speed are **unmeasured**; the [hardware ' +
            'kit](docs/hardware.md) is there to do it'
          : 'other cards and drivers than these; several GPUs at once; WSL2, MIG',
      ],
      ['`host`', 'the contract suite; the reference for the others', '-'],
    ],
  );
}

function table(head, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [line(head), `|${head.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n');
}

function withTable(text, made, path) {
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin) leave(1, `${path} lacks the markers around its table`);
  return `${text.slice(0, begin + BEGIN.length)}\n${made}\n${text.slice(end)}`;
}

const [task, argument, ...rest] = process.argv.slice(2);
const known =
  task === undefined ||
  (task === '--check' && argument === undefined) ||
  (task === 'add' && argument !== undefined);
if (!known || rest.length > 0) leave(2, 'usage: hardware.mjs [--check | add DIR]');
if (task === 'add') add(argument);
const all = reports();
for (const [path, make] of [
  ['docs/hardware.md', measuredTable],
  ['README.md', stateTable],
]) {
  const text = readFileSync(join(root, path), 'utf8');
  const made = withTable(text, make(all), path);
  if (task !== '--check') writeFileSync(join(root, path), made);
  else if (made !== text) leave(1, `${path} is not current: run node scripts/hardware.mjs`);
}
