import { expect, it } from 'vitest';
import * as standIn from '../../scripts/kit/suites/collector.js';
import type { Outcome } from '../../scripts/kit/suites/outcome.js';
import { CaseSkipped, NeedsOwnProcess } from '../../scripts/kit/suites/outcome.js';
import { isGreen, judge } from '../../scripts/kit/suites/result.js';
import type { SuiteCase } from '../../scripts/kit/suites/run-cases.js';
import { runCases } from '../../scripts/kit/suites/run-cases.js';

const passed: Outcome = { name: 'good', status: 'passed' };
const skipped: Outcome = { name: 'odd', status: 'skipped', reason: 'no such driver' };
const SKIPS = { odd: 'no such driver' };

it('a suite whose skips are the expected ones is green, and tells everything it counted', () => {
  const result = judge('groups', [passed, skipped], SKIPS);
  expect(result).toEqual({
    v: 1,
    suite: 'groups',
    total: 2,
    passed: 1,
    failed: [],
    skipped: [{ name: 'odd', reason: 'no such driver' }],
    unexpected: [],
  });
  expect(isGreen(result)).toBe(true);
});

it.each<[string, readonly Outcome[], Readonly<Record<string, string>>, string]>([
  ['a skip that nobody named', [passed, skipped], {}, 'odd: skipped (no such driver)'],
  [
    'a skip for another reason than the one named',
    [passed, skipped],
    { odd: 'too little memory' },
    'odd: skipped for another reason (no such driver), not (too little memory)',
  ],
  [
    'a case that ran although it was to be skipped',
    [passed, { name: 'odd', status: 'passed' }],
    SKIPS,
    'odd: expected to be skipped, but passed',
  ],
  [
    'a named case that is not there',
    [passed],
    SKIPS,
    'odd: expected to be skipped, but there is no such case',
  ],
])('%s turns the suite red', (_what, outcomes, expected, told) => {
  const result = judge('groups', outcomes, expected);
  expect(result.unexpected).toEqual([told]);
  expect(isGreen(result)).toBe(false);
});

it('a failed case, two cases of one name, and a suite in which nothing passed are red', () => {
  const failed: Outcome = { name: 'bad', status: 'failed', error: 'as it must' };
  expect(judge('groups', [passed, failed], {}).failed).toEqual([{ name: 'bad', error: 'as it must' }]);
  expect(isGreen(judge('groups', [passed, failed], {}))).toBe(false);
  expect(isGreen(judge('groups', [passed, passed], {}))).toBe(false);
  expect(isGreen(judge('groups', [skipped], SKIPS))).toBe(false);
  expect(isGreen(judge('groups', [], {}))).toBe(false);
});

it('a case that hangs has failed by name, and the following ones run', async () => {
  const cases: readonly SuiteCase[] = [
    { name: 'hangs', run: () => new Promise(() => undefined) },
    {
      name: 'throws',
      run: () => Promise.reject(new TypeError('as it must')),
    },
    { name: 'skips', run: () => Promise.reject(new CaseSkipped('not here')) },
    { name: 'voids', run: () => Promise.reject(new NeedsOwnProcess()) },
    { name: 'passes', run: () => Promise.resolve() },
  ];
  const elsewhere: string[] = [];
  const outcomes = await runCases(cases, {
    limitMs: 50,
    ownProcess: async (name) => {
      elsewhere.push(name);
      return { name, status: 'passed' };
    },
  });
  expect(outcomes).toEqual([
    { name: 'hangs', status: 'failed', error: 'Error: did not end within 50 ms' },
    { name: 'throws', status: 'failed', error: 'TypeError: as it must' },
    { name: 'skips', status: 'skipped', reason: 'not here' },
    { name: 'voids', status: 'passed' },
    { name: 'passes', status: 'passed' },
  ]);
  expect(elsewhere).toEqual(['voids']);
});

it('the stand-in for vitest collects names as vitest prints them, and runs nothing by itself', async () => {
  const seen: unknown[] = [];
  standIn.describe('outer', () => {
    standIn.describe('inner', () => {
      standIn.it('one', () => seen.push('one'));
      standIn.it.each(['a', 'b'])('each %s', (letter) => seen.push(letter));
      standIn.it.each([['x', 7]])('row %s', (letter, number) => seen.push([letter, number]));
    });
    standIn.it.skip('later');
  });
  expect(seen).toEqual([]);
  const cases = standIn.collectedCases();
  expect(cases.map(({ name }) => name)).toEqual([
    'outer > inner > one',
    'outer > inner > each a',
    'outer > inner > each b',
    'outer > inner > row x',
    'outer > later',
  ]);
  for (const { run } of cases.slice(0, 4)) await run();
  expect(seen).toEqual(['one', 'a', 'b', ['x', 7]]);
  await expect(cases[4]?.run()).rejects.toBeInstanceOf(CaseSkipped);
});
