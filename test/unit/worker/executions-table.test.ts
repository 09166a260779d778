import { describe, expect, it, vi } from 'vitest';
import type { EndData, ExecuteRequest } from '../../../src/api-schema/index.js';
import { VramError } from '../../../src/base/index.js';
import { EventLog, ServiceError } from '../../../src/worker/common/index.js';
import { type Execution, Executions, type ExecutionsOptions } from '../../../src/worker/executions/index.js';
import { settle } from '../handover/memory-transport.js';
import { TestClock } from '../manager/fixture.js';

const END: EndData = { weights: 'leased', verified: [], verifiedAgeMs: 0, witness: null };
const TEN_MINUTES = 600_000;

function request(executionId: string, more: Partial<ExecuteRequest> = {}): ExecuteRequest {
  const inputs = { path: '/v1/completions', body: { a: 1, b: [2] } };
  return { mode: 'engine', executionId, model: 'm', inputs, ...more } as ExecuteRequest;
}

interface Running {
  readonly execution: Execution;
  finish(): void;
  fail(error: unknown): void;
}

/** Executions whose work the test ends, by their ids. */
function open(options: Partial<ExecutionsOptions> & { readonly atOnce?: number } = {}) {
  const clock = new TestClock();
  const running = new Map<string, Running>();
  const unforeseen: unknown[] = [];
  const executions = new Executions({
    clock,
    instance: 'here',
    mostQueued: 1_000,
    prepare: () => ({
      atOnce: options.atOnce ?? 1_000,
      run: (execution) =>
        new Promise((resolve, reject) => {
          execution.start({ generation: 1, weights: 'leased', verifiedAgeMs: 0 });
          running.set(execution.id, { execution, finish: () => resolve(END), fail: reject });
        }),
    }),
    onUnforeseen: (error) => unforeseen.push(error),
    ...options,
  });
  const finish = async (id: string): Promise<void> => {
    running.get(id)?.finish();
    await settle();
  };
  return { clock, executions, running, unforeseen, finish };
}

const GONE = expect.objectContaining({
  code: 'NOT_FOUND',
  message: 'there is no such execution here, or it ended too long ago',
});

/** The code of its end; null if it has none. */
function codeOf(executions: Executions, id: string): string | null {
  const { terminal } = executions.get(id).view();
  return terminal?.type === 'error' ? terminal.data.code : null;
}

describe('executions by their ids', () => {
  it('are one for each id: the same request again, in any order of its keys, is no other', async () => {
    const { executions, running, finish } = open();
    const view = executions.submit(request('e', { maxAgeMs: undefined }));
    const again = Object.fromEntries(Object.entries(request('e')).reverse()) as ExecuteRequest;
    expect(executions.submit(again)).toMatchObject({ executionId: 'e', acceptedAt: view.acceptedAt });
    expect(running.size).toBe(1);
    const other = expect.objectContaining({
      code: 'INVALID_INPUT',
      status: 409,
      message: '"executionId" was used for another request; use a new one',
    });
    expect(() => executions.submit(request('e', { maxAgeMs: 1 }))).toThrow(other);
    await finish('e');
    expect(executions.submit(request('e')).state).toBe('ended');
    expect(() => executions.submit(request('e', { recheck: true }))).toThrow(other);
    expect(() => executions.get('f')).toThrow(GONE);
    expect(() => executions.cancel('f')).toThrow(GONE);
  });

  it('are 256 at most that have not ended', async () => {
    const { executions, finish } = open();
    for (let count = 0; count < 256; count++) executions.submit(request(`e${count}`));
    expect(() => executions.submit(request('more'))).toThrow(
      expect.objectContaining({
        code: 'QUEUE_FULL',
        message: '256 executions have not ended yet',
        retryAfterMs: 1_000,
      }),
    );
    expect(executions.counts).toEqual({ queued: 0, running: 256 });
    await finish('e7');
    expect(executions.submit(request('more')).state).toBe('running');
    executions.endAll({ code: 'STOPPED', detail: 'x', retriable: false });
  });

  it('wait for their turn, each model by itself, and say whose queue is full', async () => {
    const { executions, finish, running } = open({ atOnce: 1, mostQueued: 1 });
    for (const id of ['a', 'b']) executions.submit(request(id));
    executions.submit(request('c', { model: 'n' }));
    expect([...running.keys()]).toEqual(['a', 'c']);
    expect(executions.counts).toEqual({ queued: 1, running: 2 });
    expect(executions.fullQueues).toEqual(['m']);
    expect(() => executions.submit(request('d'))).toThrow(expect.objectContaining({ code: 'QUEUE_FULL' }));
    expect(() => executions.get('d')).toThrow(GONE);
    await finish('a');
    expect(executions.fullQueues).toEqual([]);
    expect([...running.keys()]).toEqual(['a', 'c', 'b']);
    for (const id of ['b', 'c']) await finish(id);
    await executions.idle();
    expect(executions.counts).toEqual({ queued: 0, running: 0 });
  });

  it('have ten minutes, if they do not say otherwise', () => {
    const { clock, executions } = open();
    executions.submit(request('long'));
    executions.submit(request('short', { deadlineMs: 1_000 }));
    clock.turn(1_000);
    expect([codeOf(executions, 'short'), codeOf(executions, 'long')]).toEqual(['DEADLINE_UNMET', null]);
    clock.turn(TEN_MINUTES - 1_001);
    expect(codeOf(executions, 'long')).toBeNull();
    clock.turn(1);
    expect(codeOf(executions, 'long')).toBe('DEADLINE_UNMET');
  });

  it('are idle only once their work has ended, also of those that have', async () => {
    const { executions, finish } = open();
    executions.submit(request('e'));
    expect(executions.cancel('e').state).toBe('ended');
    expect(codeOf(executions, 'e')).toBe('ABORTED');
    let idle = false;
    const waiting = executions.idle().then(() => {
      idle = true;
    });
    await settle();
    expect(idle).toBe(false);
    await finish('e');
    await waiting;
  });

  it('end where their weights are damaged: those that run on them, in that memory', async () => {
    const { executions, running } = open();
    for (const [id, model] of [
      ['a', 'm'],
      ['b', 'm'],
      ['c', 'n'],
    ] as const)
      executions.submit(request(id, { model }));
    executions.damaged('m', 'guarded');
    expect(['a', 'b', 'c'].map((id) => codeOf(executions, id))).toEqual([null, null, null]);
    executions.damaged('m');
    const damaged = 'INTEGRITY_VIOLATION';
    expect(['a', 'b', 'c'].map((id) => codeOf(executions, id))).toEqual([damaged, damaged, null]);
    expect(running.get('a')?.execution.view().terminal).toMatchObject({
      data: { detail: 'the weights were found damaged while it ran', retriable: false },
    });
  });
});

describe('executions that are ended from outside', () => {
  it('are those that were cancelled, and all of them where the worker stops, queued ones too', () => {
    const { executions } = open({ atOnce: 1 });
    for (const id of ['a', 'b', 'c']) executions.submit(request(id));
    const cancelled = { code: 'ABORTED', detail: 'it was cancelled', retriable: false };
    expect(executions.cancel('a').terminal).toMatchObject({ type: 'error', data: cancelled });
    const stopped = { code: 'STOPPED', detail: 'the worker is stopping', retriable: true } as const;
    executions.endAll(stopped);
    for (const id of ['b', 'c']) expect(executions.get(id).view().terminal).toMatchObject({ data: stopped });
    expect(executions.get('a').view().terminal).toMatchObject({ data: cancelled });
  });

  it('are not those that wait while the weights are found damaged: they meet the damage in their turn', async () => {
    const { executions } = open({ atOnce: 1 });
    for (const id of ['a', 'b']) executions.submit(request(id));
    executions.damaged('m');
    expect(codeOf(executions, 'a')).toBe('INTEGRITY_VIOLATION');
    expect(codeOf(executions, 'b')).toBeNull();
    executions.cancel('b');
  });

  it('are, where a guard finds damage, those that run on guarded weights', () => {
    const run = (execution: Execution) => {
      execution.start({ generation: 1, weights: 'guarded', verifiedAgeMs: 0 });
      return new Promise<EndData>(() => undefined);
    };
    const { executions } = open({ prepare: () => ({ atOnce: 9, run }) });
    executions.submit(request('a'));
    executions.damaged('m');
    expect(codeOf(executions, 'a')).toBeNull();
    executions.damaged('m', 'guarded');
    expect(codeOf(executions, 'a')).toBe('INTEGRITY_VIOLATION');
  });
});

describe('what work fails with', () => {
  it('is the end of its execution; what nobody foresaw is passed on too', async () => {
    const { executions, running, unforeseen } = open();
    const errors = {
      service: new ServiceError('LOAD_STALLED', 'said'),
      library: new VramError('AUDIT_FAILED', 'said too'),
      other: new Error('/secret'),
    };
    for (const [id, error] of Object.entries(errors)) {
      executions.submit(request(id));
      running.get(id)?.fail(error);
    }
    await settle();
    expect(Object.keys(errors).map((id) => executions.get(id).view().terminal?.data)).toMatchObject([
      { code: 'LOAD_STALLED', detail: 'said' },
      { code: 'AUDIT_FAILED', detail: 'said too' },
      { code: 'DEVICE_UNAVAILABLE' },
    ]);
    expect(JSON.stringify(executions.get('other').view())).not.toContain('secret');
    expect(unforeseen).toEqual([errors.other]);
  });

  it('is not passed on where the execution had ended', async () => {
    const { executions, running, unforeseen } = open();
    executions.submit(request('e'));
    executions.cancel('e');
    running.get('e')?.fail(new Error('too late'));
    await settle();
    expect([codeOf(executions, 'e'), unforeseen]).toEqual(['ABORTED', []]);
  });

  it('never was where it ended before its turn', async () => {
    const { executions, running, finish } = open({ atOnce: 1 });
    for (const id of ['a', 'b']) executions.submit(request(id));
    executions.cancel('b');
    await finish('a');
    expect([...running.keys()]).toEqual(['a']);
  });
});

describe('what is kept of executions that have ended', () => {
  it('are their events for ten minutes, and their outcome longer', async () => {
    const { clock, executions, finish } = open();
    executions.submit(request('e'));
    await finish('e');
    clock.turn(TEN_MINUTES - 1);
    executions.get('e').events.requireKept(0);
    clock.turn(1);
    expect(() => executions.get('e').events.requireKept(0)).toThrow(
      expect.objectContaining({ code: 'EVENTS_EXPIRED' }),
    );
    expect(executions.get('e').view().terminal?.type).toBe('end');
  });

  it('are 256 MiB of events, the oldest of which go first', async () => {
    const { executions, running, finish } = open();
    const each = 2 ** 24 - 256;
    for (let count = 0; count < 17; count++) {
      const id = `e${count}`;
      executions.submit(request(id));
      running.get(id)?.execution.output({ event: null, text: '' }, each);
    }
    for (let count = 0; count < 16; count++) await finish(`e${count}`);
    executions.get('e0').events.requireKept(0);
    await finish('e16');
    expect(() => executions.get('e0').events.requireKept(0)).toThrow(
      expect.objectContaining({ code: 'EVENTS_EXPIRED' }),
    );
    executions.get('e1').events.requireKept(0);
  });

  it('are counted once: a request reads the size of no ended execution', async () => {
    const { executions, finish } = open();
    const { get: bytes } = Object.getOwnPropertyDescriptor(EventLog.prototype, 'bytes') ?? {};
    for (let count = 0; count < 20; count++) {
      executions.submit(request(`e${count}`));
      await finish(`e${count}`);
    }
    const read = vi.spyOn(EventLog.prototype, 'bytes', 'get').mockImplementation(function (this: EventLog) {
      return bytes?.call(this);
    });
    try {
      executions.submit(request('next'));
      executions.get('e0');
      expect(read).not.toHaveBeenCalled();
    } finally {
      read.mockRestore();
    }
  });

  it('are dropped with the outcome', async () => {
    const { executions, running, finish } = open({ atOnce: 20_000 });
    executions.submit(request('first'));
    const first = running.get('first')?.execution;
    first?.output({ event: null, text: '' }, 1_000);
    await finish('first');
    for (let count = 0; count < 10_000; count++) {
      expect(first?.events.bytes).toBe(1_256);
      executions.submit(request(`e${count}`));
      executions.cancel(`e${count}`);
    }
    expect(() => executions.get('first')).toThrow(GONE);
    expect(first?.events.bytes).toBe(0);
  });

  it('are 10,000 outcomes', () => {
    const { executions } = open();
    for (let count = 0; count <= 10_000; count++) {
      executions.submit(request(`e${count}`));
      executions.cancel(`e${count}`);
    }
    expect(() => executions.get('e0')).toThrow(GONE);
    expect(executions.get('e1').state).toBe('ended');
  });
});
