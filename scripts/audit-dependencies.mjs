// npm run audit:dependencies: asks the registry, by `npm audit`, which installed packages have known vulnerabilities, and
// reports in one line. Exit code 0: none; 1: some, each is named; 3: the registry does not answer, so the result is unknown.
import { spawnSync } from 'node:child_process';

const NOT_ANSWERED = 3;

const { stdout, error } = spawnSync('npm', ['audit', '--json'], {
  encoding: 'utf8',
  maxBuffer: 64 * 1024 * 1024,
});
if (error !== undefined) throw error;

let report;
try {
  report = JSON.parse(stdout);
} catch {
  report = { message: 'npm printed no JSON' };
}

const total = report.metadata?.vulnerabilities?.total;
if (report.auditReportVersion !== 2 || !Number.isInteger(total)) {
  // Without the registry's address, which is local to this machine.
  const reason = String(report.message ?? 'no report').replace(/\s*-?\s*\b(GET|POST)? ?https?:\/\/\S+/g, '');
  console.log(`npm audit: the registry did not answer (${reason}); nothing is known of vulnerabilities`);
  process.exit(NOT_ANSWERED);
}
for (const { name, severity, range, via } of Object.values(report.vulnerabilities)) {
  const titles = via.map((one) => (typeof one === 'string' ? `by ${one}` : `${one.title} (${one.url})`));
  console.log(`npm audit: ${severity}: ${name} ${range}: ${titles.join('; ')}`);
}
console.log(`npm audit: ${total} vulnerable of ${report.metadata.dependencies.total} packages`);
process.exit(total === 0 ? 0 : 1);
