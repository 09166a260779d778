import type { Outcome } from './outcome.js';

/** The one JSON document that a suite prints. */
export interface SuiteResult {
  readonly v: 1;
  readonly suite: string;
  readonly total: number;
  readonly passed: number;
  readonly failed: readonly { readonly name: string; readonly error: string }[];
  readonly skipped: readonly { readonly name: string; readonly reason: string }[];
  /** `NAME: WHAT` for each skip that was not expected, and for each expected skip that did not happen. */
  readonly unexpected: readonly string[];
}

/** Case names with the reason for which each is skipped. */
export type ExpectedSkips = Readonly<Record<string, string>>;

/** Compares the outcomes with the expected skips, reasons included. */
export function judge(suite: string, outcomes: readonly Outcome[], expected: ExpectedSkips): SuiteResult {
  const reasons = new Map(Object.entries(expected));
  const failed: { name: string; error: string }[] = [];
  const skipped: { name: string; reason: string }[] = [];
  const unexpected: string[] = [];
  const seen = new Set<string>();
  for (const outcome of outcomes) {
    const { name } = outcome;
    const reason = reasons.get(name);
    if (seen.has(name)) failed.push({ name, error: 'two cases have this name' });
    seen.add(name);
    if (outcome.status === 'failed') failed.push({ name, error: outcome.error });
    if (outcome.status === 'skipped') {
      skipped.push({ name, reason: outcome.reason });
      if (reason === undefined) unexpected.push(`${name}: skipped (${outcome.reason})`);
      else if (reason !== outcome.reason) {
        unexpected.push(`${name}: skipped for another reason (${outcome.reason}), not (${reason})`);
      }
    } else if (reason !== undefined) {
      unexpected.push(`${name}: expected to be skipped, but ${outcome.status}`);
    }
  }
  for (const name of reasons.keys()) {
    if (!seen.has(name)) unexpected.push(`${name}: expected to be skipped, but there is no such case`);
  }
  const passed = outcomes.filter(({ status }) => status === 'passed').length;
  return { v: 1, suite, total: outcomes.length, passed, failed, skipped, unexpected };
}

/** A suite in which no case passed has shown nothing. */
export function isGreen({ passed, failed, unexpected }: SuiteResult): boolean {
  return passed > 0 && failed.length === 0 && unexpected.length === 0;
}
