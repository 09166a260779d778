import { describe, expect, it } from 'vitest';
import { fault, MOST_COLUMNS } from '../../../scripts/long-lines.mjs';

const words = (columns: number) => 'word '.repeat(columns).slice(0, columns);

describe('the rule of long lines', () => {
  it('is 125 columns, counted in characters', () => {
    expect(fault('a.ts', words(MOST_COLUMNS))).toBeNull();
    expect(fault('a.ts', '\u{1f600} '.repeat(63).slice(0, -1))).toBeNull();
    const long = words(MOST_COLUMNS + 1);
    expect(fault('a.ts', `short\n${long}\n${long}`)).toBe('a.ts: longer than 125 columns: line 2, 3');
  });

  it('exempts a line with a word that cannot be broken', () => {
    expect(fault('a.ts', `const PATTERN = /${'x'.repeat(91)}/; // ${words(80)}`)).toBeNull();
    expect(fault('a.ts', `${'x'.repeat(90)} ${words(80)}`)).toBe('a.ts: longer than 125 columns: line 1');
  });
});
