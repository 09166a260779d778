import { expect } from 'vitest';
import type { StepBook } from '../gherkin.js';
import type { World } from '../world.js';

/** What was reported: events for programs, sentences for people. */
export function eventSteps(book: StepBook<World>): void {
  book.define('these events are emitted in this order:', (world, values) => {
    expectInOrder(
      world.recorder.events.map(({ type }) => type),
      values.rows.map(([type = '']) => type),
    );
  });

  book.define('these sentences are narrated in this order:', (world, values) => {
    expectInOrder(
      world.told.told.map(({ level, actor, action }) => `${level} ${actor} ${action}`),
      values.rows.map(([level = '', actor = '', action = '']) => `${level} ${actor} ${action}`),
    );
    for (const { human } of world.told.told) {
      expect(human.length).toBeGreaterThan(10);
      expect(human.length).toBeLessThanOrEqual(160);
    }
  });

  book.define('a sentence says {string}', (world, values) => {
    expect(world.told.told.map(({ human }) => human)).toContainEqual(expect.stringContaining(values.text(0)));
  });

  book.define('{string} was emitted {int} time(s)', (world, values) => {
    expect(world.recorder.types().filter((type) => type === values.text(0))).toHaveLength(values.number(1));
  });

  book.define(
    'everything reported for the latest operation carries the correlation id {string}',
    (world, values) => {
      const last = world.recorder.events.at(-1);
      const events = world.recorder.events.filter(({ operationId }) => operationId === last?.operationId);
      expect(events.length).toBeGreaterThan(2);
      expect(new Set(events.map(({ correlationId }) => correlationId))).toEqual(new Set([values.text(0)]));
      expect(world.told.told.at(-1)?.correlationId).toBe(values.text(0));
    },
  );
}

function expectInOrder(found: readonly string[], expected: readonly string[]): void {
  let from = 0;
  for (const each of expected) {
    const at = found.indexOf(each, from);
    if (at < 0) throw new Error(`"${each}" was not told after the others; told were: ${found.join(', ')}`);
    from = at + 1;
  }
}
