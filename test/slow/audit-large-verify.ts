import { readFileSync } from 'node:fs';
import { verifyAudit } from '../../src/node/audit/index.js';
import { TOKEN } from '../unit/audit/events.js';

// Verifies a log in a process of its own and tells what it took.
const [dir = '', keyFile = '', workers = '1'] = process.argv.slice(2);
const began = performance.now();
const report = await verifyAudit(dir, { token: TOKEN, keyFile, workers: Number(workers) });
const seconds = (performance.now() - began) / 1000;
const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
process.stdout.write(
  JSON.stringify({ ok: report.ok, bad: report.bad, records: report.records, seconds, peakKiB: Number(peak) }),
);
