// node bench/audit.mjs [--json FILE] [--records N]: the audit log beside pino writing plain lines to the same disk.
// Runs on dist/ (npm run build). Prints a table on stderr and one JSON document on stdout.
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import pino from 'pino';

const { values } = parseArgs({
  options: {
    json: { type: 'string' },
    records: { type: 'string', default: '100000' },
    runs: { type: 'string', default: '3' },
    dir: { type: 'string', default: tmpdir() },
    dist: { type: 'string', default: new URL('../dist/', import.meta.url).href },
  },
});
const { openAuditDirectory, verifyAudit } = await import(new URL('node/audit/index.js', values.dist).href);

const RECORDS = Number(values.records);
const RUNS = Number(values.runs);
const CRITICAL = Math.min(2_000, RECORDS);
const BURST = 64;
const token = new TextEncoder().encode('a benchmark token of 32 bytes...');
const workerId = 'bench';
const digest = `fsverity-sha256-12:${'ab'.repeat(32)}`;

const context = {
  monotonicMs: 0,
  workerId,
  correlationId: 'bench-request-000001',
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  operation: 'verify',
  operationId: 'op-1',
  device: { id: 'cuda:0', name: 'Some GPU', uuid: 'GPU-0', residency: 'device-local', emulated: false },
  shardId: 'a'.repeat(32),
  modelRef: 'model/shard-0',
  durationMs: 1.25,
};
const verified = (at) => ({
  ...context,
  at,
  type: 'seal.verified',
  sealId: '11'.repeat(16),
  mode: 'resident',
  byteLength: 4_294_967_296,
  fsverity: digest,
});
const failed = (at) => ({
  ...context,
  at,
  type: 'shard.quarantined',
  sealId: '11'.repeat(16),
  reason: 'block 3 differs',
  leasesRevoked: 0,
});

const root = mkdtempSync(join(values.dir, 'audit-bench-'));
let next = 0;
const place = () => ({
  dir: join(root, `log-${next}`),
  keyFile: join(root, `key-${next++}`),
  token,
  workerId,
});
/** Processor seconds of this process, all threads. */
const cpuSeconds = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};
const turn = () => new Promise((resolve) => setImmediate(resolve));

/**
 * Emits in bursts with a turn of the event loop between them, as operations do. Returns the duration in seconds and the
 * emission times in microseconds.
 */
async function emitAll(count, emit) {
  const times = new Float64Array(count);
  const began = performance.now();
  for (let i = 0; i < count; i++) {
    const at = new Date().toISOString();
    const event = verified(at);
    const start = performance.now();
    const wait = emit(event);
    times[i] = (performance.now() - start) * 1000;
    if (wait !== undefined) await wait;
    if (i % BURST === BURST - 1) await turn();
  }
  return { began, times };
}

async function ours() {
  const options = place();
  const log = await openAuditDirectory(options);
  const cpu = cpuSeconds();
  const { began, times } = await emitAll(RECORDS, (event) => log.observer.on(event));
  await log.flush();
  const seconds = (performance.now() - began) / 1000;
  const perCpuSecond = RECORDS / (cpuSeconds() - cpu);
  await log.close();
  return { perSecond: RECORDS / seconds, perCpuSecond, times, options };
}

async function theirs() {
  const file = join(root, `pino-${next++}.ndjson`);
  const destination = pino.destination({ dest: file, sync: false, minLength: 8_192 });
  const logger = pino(destination);
  const cpu = cpuSeconds();
  const { began, times } = await emitAll(RECORDS, (event) => {
    logger.info(event);
  });
  await new Promise((resolve, reject) => destination.flush((error) => (error ? reject(error) : resolve())));
  const seconds = (performance.now() - began) / 1000;
  const perCpuSecond = RECORDS / (cpuSeconds() - cpu);
  destination.end();
  return { perSecond: RECORDS / seconds, perCpuSecond, times, bytes: statSync(file).size };
}

/** One after the other: each waits for its fsync. */
async function oursCritical() {
  const log = await openAuditDirectory(place());
  const began = performance.now();
  for (let i = 0; i < CRITICAL; i++) await log.observer.on(failed(new Date().toISOString()));
  const perSecond = CRITICAL / ((performance.now() - began) / 1000);
  const together = performance.now();
  for (let i = 0; i < CRITICAL; i += BURST) {
    await Promise.all(Array.from({ length: BURST }, () => log.observer.on(failed(new Date().toISOString()))));
  }
  const concurrentPerSecond = CRITICAL / ((performance.now() - together) / 1000);
  await log.close();
  return { perSecond, concurrentPerSecond };
}

/** pino with one synchronous write and one fsync for each line, which gives the same guarantee. */
function theirsCritical() {
  const destination = pino.destination({
    dest: join(root, `pino-${next++}.ndjson`),
    sync: true,
    fsync: true,
  });
  const logger = pino(destination);
  const began = performance.now();
  for (let i = 0; i < CRITICAL; i++) logger.info(failed(new Date().toISOString()));
  const perSecond = CRITICAL / ((performance.now() - began) / 1000);
  destination.end();
  return { perSecond };
}

async function verify(options, workers) {
  const began = performance.now();
  const cpu = cpuSeconds();
  const report = await verifyAudit(options.dir, { token, keyFile: options.keyFile, workers });
  if (!report.ok) throw new Error(report.bad.message);
  return {
    perSecond: report.records / ((performance.now() - began) / 1000),
    perCpuSecond: report.records / (cpuSeconds() - cpu),
  };
}

/** The same records in several segments, so that threads can share the work. */
async function segmented() {
  const options = { ...place(), maxSegmentBytes: 20_000_000 };
  const log = await openAuditDirectory(options);
  await emitAll(RECORDS * 2, (event) => log.observer.on(event));
  await log.close();
  return options;
}

const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
const percentile = (times, p) => Float64Array.from(times).sort()[Math.floor((times.length - 1) * p)];

try {
  const a = [];
  const b = [];
  const ca = [];
  const cb = [];
  const v = [];
  for (let run = 0; run < RUNS; run++) {
    const mine = await ours();
    v.push(await verify(mine.options, 1));
    a.push({
      perSecond: mine.perSecond,
      perCpuSecond: mine.perCpuSecond,
      p50: percentile(mine.times, 0.5),
      p99: percentile(mine.times, 0.99),
    });
    const other = await theirs();
    b.push({
      perSecond: other.perSecond,
      perCpuSecond: other.perCpuSecond,
      p50: percentile(other.times, 0.5),
      p99: percentile(other.times, 0.99),
    });
    ca.push(await oursCritical());
    cb.push(theirsCritical());
  }
  const big = await segmented();
  const one = await verify(big, 1);
  const two = await verify(big, 2);
  const pick = (list, key) => median(list.map((row) => row[key]));
  const result = {
    v: 1,
    machine: { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version },
    records: RECORDS,
    runs: RUNS,
    grouped: {
      auditPerSecond: pick(a, 'perSecond'),
      pinoPerSecond: pick(b, 'perSecond'),
      ratio: pick(a, 'perSecond') / pick(b, 'perSecond'),
      auditPerCpuSecond: pick(a, 'perCpuSecond'),
      pinoPerCpuSecond: pick(b, 'perCpuSecond'),
      ratioCpu: pick(a, 'perCpuSecond') / pick(b, 'perCpuSecond'),
    },
    emission: {
      audit: { p50us: pick(a, 'p50'), p99us: pick(a, 'p99') },
      pino: { p50us: pick(b, 'p50'), p99us: pick(b, 'p99') },
      ratioP99: pick(a, 'p99') / pick(b, 'p99'),
    },
    critical: {
      auditPerSecond: pick(ca, 'perSecond'),
      pinoFsyncPerSecond: pick(cb, 'perSecond'),
      ratio: pick(ca, 'perSecond') / pick(cb, 'perSecond'),
      auditConcurrentPerSecond: pick(ca, 'concurrentPerSecond'),
    },
    verification: {
      perSecond: pick(v, 'perSecond'),
      perCpuSecond: pick(v, 'perCpuSecond'),
      segmentedOneThread: one.perSecond,
      segmentedTwoThreads: two.perSecond,
      speedup: two.perSecond / one.perSecond,
    },
  };
  const n = (value) => Math.round(value).toLocaleString('en');
  const us = (value) => `${value.toFixed(2)} us`;
  process.stderr.write(
    [
      `audit log against pino ${pino.version}, ${RECORDS} records, median of ${RUNS}, ${result.machine.cpu}, Node ` +
        `${process.version}`,
      'measure                        | audit        | pino         | ratio',
      `grouped events a second        | ${n(result.grouped.auditPerSecond).padEnd(12)} | ` +
        `${n(result.grouped.pinoPerSecond).padEnd(12)} | ${result.grouped.ratio.toFixed(2)}`,
      `grouped events a CPU second    | ${n(result.grouped.auditPerCpuSecond).padEnd(12)} | ` +
        `${n(result.grouped.pinoPerCpuSecond).padEnd(12)} | ${result.grouped.ratioCpu.toFixed(2)}`,
      `emission p50                   | ${us(result.emission.audit.p50us).padEnd(12)} | ` +
        `${us(result.emission.pino.p50us).padEnd(12)} |`,
      `emission p99                   | ${us(result.emission.audit.p99us).padEnd(12)} | ` +
        `${us(result.emission.pino.p99us).padEnd(12)} | ${result.emission.ratioP99.toFixed(2)}`,
      `critical, one after the other  | ${n(result.critical.auditPerSecond).padEnd(12)} | ` +
        `${n(result.critical.pinoFsyncPerSecond).padEnd(12)} | ${result.critical.ratio.toFixed(2)}`,
      `critical, 64 at once           | ${n(result.critical.auditConcurrentPerSecond).padEnd(12)} |              |`,
      `verification, records a second | ${n(result.verification.perSecond).padEnd(12)} |              |`,
      `verification, a CPU second     | ${n(result.verification.perCpuSecond).padEnd(12)} |              |`,
      `verification, 1 and 2 threads  | ${n(one.perSecond)} and ${n(two.perSecond)} | ` +
        `${result.verification.speedup.toFixed(2)}`,
      '',
    ].join('\n'),
  );
  const document = `${JSON.stringify(result, null, 2)}\n`;
  if (values.json === undefined) process.stdout.write(document);
  else writeFileSync(values.json, document);
} finally {
  rmSync(root, { recursive: true, force: true });
}
