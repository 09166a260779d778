import type { ReportLine, Status } from './report.js';

const MARKS: Readonly<Record<Status, string>> = {
  passed: 'passed   ',
  failed: 'FAILED   ',
  skipped: 'skipped  ',
  'timed-out': 'TIMED OUT',
};

/** One step, for human readers. */
export function lineInWords({ step, status, wallMs, reason }: ReportLine): string {
  const seconds = `${(wallMs / 1000).toFixed(1)} s`.padStart(8);
  return `${MARKS[status]} ${step.padEnd(15)}${seconds}${reason === null ? '' : `  ${reason}`}`;
}

/** The whole run in one line, which CI and people look for. */
export function totals(lines: readonly ReportLine[]): string {
  const count = (...statuses: Status[]): number =>
    lines.filter(({ status }) => statuses.includes(status)).length;
  return `${count('passed')} passed, ${count('failed', 'timed-out')} failed, ${count('skipped')} skipped`;
}
