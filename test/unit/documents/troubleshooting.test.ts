import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ERROR_ANSWERS, type WorkerErrorCode } from '../../../src/api-schema/index.js';
import { ERROR_CLASS, type ErrorCode } from '../../../src/base/error-codes.js';
import { VramError } from '../../../src/base/index.js';
import { exitCodeOf } from '../../../src/cli/exit-codes.js';
import type { ShareCode } from '../../../src/handover/messages.js';

const PAGE = readFileSync(new URL('../../../docs/troubleshooting.md', import.meta.url), 'utf8');
const CODES = Object.keys(ERROR_CLASS) as ErrorCode[];
const WORKER_CODES = (Object.keys(ERROR_ANSWERS) as WorkerErrorCode[]).filter(
  (code) => !Object.hasOwn(ERROR_CLASS, code),
);
const SHARE_CODES = Object.keys({
  VERSION: true,
  PROTOCOL: true,
  TIMEOUT: true,
  FORBIDDEN: true,
  BUSY: true,
} satisfies Record<ShareCode, true>);

/** The rows of the table under a heading, cell by cell, without the table's own head. */
function rows(heading: string): string[][] {
  const [, section = ''] = PAGE.split(`\n## ${heading}\n`);
  const [own = ''] = section.split('\n## ');
  return own
    .split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('| code'))
    .map((line) => line.slice(2, -2).split(' | '));
}

describe('docs/troubleshooting.md', () => {
  it('has each code of the library, with its kind, its scope and its exit code, and a section about it', () => {
    const expected = CODES.map((code) => {
      const { kind, scope } = ERROR_CLASS[code];
      const exit = exitCodeOf(new VramError(code, ''));
      return [`[${code}](#${code.toLowerCase()})`, scope === null ? kind : `${kind}, ${scope}`, String(exit)];
    });
    expect(rows('Errors of the library')).toEqual(expected);
    const sections = [...PAGE.matchAll(/^### (\S+)\n\n\S/gm)].map(([, code]) => code);
    expect(sections).toEqual(CODES);
  });

  it('has each code that only a worker answers, with its status', () => {
    const found = rows('Errors that only a worker answers').map(([code, status]) => [code, Number(status)]);
    expect(found).toEqual(WORKER_CODES.map((code) => [code, ERROR_ANSWERS[code].status]));
  });

  it('has each code of the share socket', () => {
    expect(rows('Errors over the share socket').map(([code]) => code)).toEqual(SHARE_CODES);
  });
});
