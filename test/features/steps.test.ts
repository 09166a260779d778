import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { stepBook } from './book.js';
import { readFeature, StepBook } from './gherkin.js';
import { parameterTypes } from './parameters.js';

const folder = fileURLToPath(new URL('.', import.meta.url));
const names = readdirSync(folder);
const features = names.filter((name) => name.endsWith('.feature'));

describe('features and their steps', () => {
  it('every feature has a test file of its name, so that none is forgotten', () => {
    const run = names
      .filter((name) => name.endsWith('.test.ts'))
      .map((name) => name.replace('.test.ts', '.feature'));
    expect(run.filter((name) => name !== 'steps.feature').sort()).toEqual([...features].sort());
  });

  it('exactly one definition fits every step, and every definition is used', () => {
    const book = stepBook();
    const used = new Set<string>();
    for (const file of features) {
      for (const { steps } of readFeature(folder + file).scenarios) {
        for (const step of steps) used.add(book.match(step).definition);
      }
    }
    expect(book.expressions.filter((expression) => !used.has(expression))).toEqual([]);
  });

  it('no two scenarios of a feature have one name', () => {
    for (const file of features) {
      const scenarios = readFeature(folder + file).scenarios.map(({ name }) => name);
      expect([file, scenarios.filter((name, index) => scenarios.indexOf(name) !== index)]).toEqual([
        file,
        [],
      ]);
    }
  });

  it('an undefined step and an ambiguous step are errors', () => {
    const book = new StepBook<null>(parameterTypes());
    book.define('{int} shards', () => undefined);
    book.define('{int} {word}', () => undefined);
    expect(() => book.match({ text: 'no such step', rows: [] })).toThrow('undefined step');
    expect(() => book.match({ text: '3 shards', rows: [] })).toThrow('ambiguous step');
    expect(book.match({ text: '3 seals', rows: [] }).definition).toBe('{int} {word}');
  });

  it('a step that fails says which one it was', async () => {
    const book = new StepBook<null>(parameterTypes());
    book.define('it breaks', () => {
      throw new Error('broken');
    });
    await expect(book.match({ text: 'it breaks', rows: [] }).run(null)).rejects.toThrow(
      '"it breaks": broken',
    );
  });
});
