import { describe, expect, it } from 'vitest';
import type { EndData } from '../../../src/api-schema/index.js';
import { Execution } from '../../../src/worker/executions/index.js';
import { TestClock } from '../manager/fixture.js';

const STARTED = { generation: 3, weights: 'leased', verifiedAgeMs: 7 } as const;
const END: EndData = { weights: 'leased', verified: [], verifiedAgeMs: 7, witness: null };
const AT = '2026-01-02T03:04:05.678Z';

function accepted(deadlineMs = 1_000) {
  const clock = new TestClock();
  const execution = new Execution(
    {
      mode: 'engine',
      executionId: 'id',
      model: 'm',
      inputs: { path: '/v1/completions', body: {} },
      deadlineMs,
    },
    { clock, instance: 'here', requestDigest: 'digest' },
  );
  return { clock, execution };
}

async function events(execution: Execution) {
  const seen = [];
  for await (const event of execution.events.follow(0, AbortSignal.timeout(5_000))) {
    seen.push(event);
    if (execution.state !== 'ended' && event.id === execution.events.lastId) break;
  }
  return seen;
}

describe('an execution', () => {
  it('is queued, runs and ends, and says so in its view', async () => {
    const { clock, execution } = accepted();
    const queued = {
      executionId: 'id',
      instance: 'here',
      mode: 'engine',
      model: 'm',
      state: 'queued',
      acceptedAt: AT,
      startedAt: null,
      endedAt: null,
      weights: null,
      terminal: null,
      lastEventId: 0,
      events: '/v1/executions/id/events',
    };
    expect(execution.view()).toEqual(queued);
    expect(execution.requestDigest).toBe('digest');
    expect([execution.endedMs, execution.started]).toEqual([0, null]);
    clock.turn(40);
    expect(execution.start(STARTED)).toBe(true);
    expect(execution.start(STARTED)).toBe(false);
    const startedAt = '2026-01-02T03:04:05.718Z';
    const running = { ...queued, state: 'running', startedAt, weights: 'leased', lastEventId: 1 };
    expect(execution.view()).toEqual(running);
    expect(execution.started).toEqual({ ...STARTED, queuedMs: 40 });
    execution.output({ event: null, text: 'abc' }, 3);
    execution.output({ event: null, text: 'de' }, 2);
    clock.turn(60);
    expect(execution.end(END)).toBe(true);
    const endedAt = '2026-01-02T03:04:05.778Z';
    const terminal = { id: 5, at: endedAt, type: 'end', data: END };
    expect(execution.view()).toEqual({ ...running, state: 'ended', endedAt, terminal, lastEventId: 5 });
    expect(execution.endedMs).toBe(clock.monotonic());
    expect(await events(execution)).toEqual([
      { id: 1, at: startedAt, type: 'started', data: { ...STARTED, queuedMs: 40 } },
      { id: 2, at: startedAt, type: 'output', data: { event: null, text: 'abc' } },
      { id: 3, at: startedAt, type: 'output', data: { event: null, text: 'de' } },
      {
        id: 4,
        at: endedAt,
        type: 'metrics',
        data: { queuedMs: 40, runMs: 60, outputs: 2, outputBytes: 5 },
      },
      terminal,
    ]);
  });

  it('ends once: nothing that comes later changes it', async () => {
    const { clock, execution } = accepted();
    execution.start(STARTED);
    expect(execution.signal.aborted).toBe(false);
    expect(execution.fail({ code: 'ABORTED', detail: 'it was cancelled', retriable: false })).toBe(true);
    expect(execution.signal.reason).toMatchObject({ code: 'ABORTED', message: 'the execution has ended' });
    const view = execution.view();
    clock.turn(5_000);
    expect(execution.end(END)).toBe(false);
    expect(execution.fail({ code: 'STOPPED', detail: 'late', retriable: false })).toBe(false);
    expect(execution.start(STARTED)).toBe(false);
    execution.output({ event: null, text: 'late' }, 4);
    expect(execution.view()).toEqual(view);
    expect((await events(execution)).map(({ type }) => type)).toEqual(['started', 'error']);
  });

  it('gives no output and no metrics before it runs', async () => {
    const { execution } = accepted();
    execution.output({ event: null, text: 'early' }, 5);
    expect(execution.end(END)).toBe(true);
    expect((await events(execution)).map(({ type }) => type)).toEqual(['end']);
  });

  it('fails at its deadline, for which no timer stays once it has ended', () => {
    const { clock, execution } = accepted(300);
    execution.start(STARTED);
    clock.turn(299);
    expect(execution.state).toBe('running');
    clock.turn(1);
    expect(execution.view().terminal).toMatchObject({
      type: 'error',
      data: { code: 'DEADLINE_UNMET', detail: 'it did not end within 300 ms', retriable: true },
    });
    const other = accepted(300);
    expect(other.clock.waiting).toBe(1);
    other.execution.end(END);
    expect(other.clock.waiting).toBe(0);
  });

  it('keeps outputs of 16 MiB, with 256 bytes for each of their events', () => {
    const { execution } = accepted();
    execution.start(STARTED);
    execution.output({ event: null, text: '' }, 2 ** 23 - 256);
    execution.output({ event: null, text: '' }, 2 ** 23 - 256);
    expect(execution.events.bytes).toBe(2 ** 24);
    execution.events.requireKept(0);
    execution.output({ event: null, text: '' }, 1);
    expect(() => execution.events.requireKept(0)).toThrow(
      expect.objectContaining({ code: 'EVENTS_EXPIRED' }),
    );
  });
});
