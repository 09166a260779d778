// Replaces vitest's describe and it when the groups are bundled: these only collect the cases and run nothing.
import { format } from 'node:util';
import { CaseSkipped } from './outcome.js';
import type { SuiteCase } from './run-cases.js';

const collected: SuiteCase[] = [];
const path: string[] = [];

/** Cases in the order of their definition; names are those that vitest prints, joined with ` > `. */
export function collectedCases(): readonly SuiteCase[] {
  return [...collected];
}

export function describe(title: string, body: () => void): void {
  path.push(title);
  try {
    body();
  } finally {
    path.pop();
  }
}

export function it(title: string, body: () => unknown): void {
  if (typeof body !== 'function') throw new TypeError(`${title}: options of a test are not supported here`);
  collect(title, async () => {
    await body();
  });
}

/** Reported as skipped; the expected skips decide whether that is allowed. */
it.skip = (title: string): void => {
  collect(title, async () => {
    throw new CaseSkipped('skipped in the source');
  });
};

/** printf-like titles, as vitest makes them: as many arguments of the row as the title has placeholders. */
it.each =
  (rows: readonly unknown[]) =>
  (title: string, body: (...row: readonly unknown[]) => unknown): void => {
    const placeholders = title.match(/%[sdifjoOc]/g)?.length ?? 0;
    for (const entry of rows) {
      const row: readonly unknown[] = Array.isArray(entry) ? entry : [entry];
      it(format(title, ...row.slice(0, placeholders)), () => body(...row));
    }
  };

function collect(title: string, run: () => Promise<void>): void {
  collected.push({ name: [...path, title].join(' > '), run });
}
