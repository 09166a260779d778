import { describe, expect, it } from 'vitest';
import { fault, MOST_COLUMNS } from '../../../scripts/long-lines.mjs';

const LONG = 'x'.repeat(MOST_COLUMNS + 1);

describe('the rule of long lines', () => {
  it('is 125 columns, counted in characters', () => {
    expect(fault('a.ts', 'x'.repeat(125))).toBeNull();
    expect(fault('a.ts', '\u{1f600}'.repeat(125))).toBeNull();
    expect(fault('a.ts', `short\n${LONG}\n${LONG}`)).toBe('a.ts: longer than 125 columns: line 2, 3');
  });

  it('lets a file keep as many as it had, and no more; fewer lower its number', () => {
    expect(fault('a.ts', LONG, 1)).toBeNull();
    expect(fault('a.ts', `${LONG}\n${LONG}`, 1)).toBe(
      'a.ts: longer than 125 columns: line 1, 2; it may keep 1',
    );
    expect(fault('a.ts', 'short', 1)).toBe('a.ts: has 0 long lines: lower its 1');
  });
});
