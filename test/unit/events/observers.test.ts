import { describe, expect, it } from 'vitest';
import { VramError } from '../../../src/base/errors.js';
import type { EventType, Observer, OperationEvent } from '../../../src/events/events.js';
import { Observers } from '../../../src/events/observers.js';

const event = (type: EventType, operationId = 'x'): OperationEvent =>
  ({ type, operationId }) as unknown as OperationEvent;

/** Takes events, or throws what it is told to. */
class Witness implements Observer {
  readonly seen: string[] = [];
  fails: unknown = null;
  constructor(
    readonly name: string,
    readonly required: boolean,
  ) {}
  async on({ type, operationId }: OperationEvent): Promise<void> {
    if (this.fails !== null) throw this.fails;
    this.seen.push(`${type} ${operationId}`);
  }
}

describe('observers', () => {
  it('are all called before tell() returns, in their order', () => {
    const order: string[] = [];
    const observer = (name: string): Observer => ({
      name,
      required: false,
      on: ({ operationId }) => void order.push(`${name} ${operationId}`),
    });
    const observers = new Observers([observer('a'), observer('b')]);
    void observers.emit(event('capacity.queried', '1'));
    void observers.emit(event('capacity.queried', '2'));
    expect(order).toEqual(['a 1', 'b 1', 'a 2', 'b 2']);
  });

  it('that are not required may fail; of those that are the first failure counts', async () => {
    const all = [new Witness('a', false), new Witness('b', true), new Witness('c', true)];
    const observers = new Observers(all);
    for (const witness of all) witness.fails = new Error(witness.name);
    expect(await observers.emit(event('vram.sealed'))).toMatchObject({
      code: 'AUDIT_FAILED',
      message: 'the required observer "b" failed',
      cause: { message: 'b' },
    });
    for (const witness of all.slice(1)) witness.fails = null;
    expect(await observers.emit(event('vram.sealed'))).toBeNull();
    expect(all.map(({ seen }) => seen.length)).toEqual([0, 1, 1]);
    expect(observers.unreportedReleases).toBe(0);
  });

  it("an audit log's own verdicts are thrown as they are, other errors inside AUDIT_FAILED", async () => {
    const log = new Witness('log', true);
    const observers = new Observers([log]);
    for (const code of ['AUDIT_FAILED', 'AUDIT_CORRUPT'] as const) {
      log.fails = new VramError(code, 'from the log');
      expect(await observers.emit(event('vram.sealed'))).toBe(log.fails);
    }
    log.fails = new VramError('DEVICE_UNAVAILABLE', 'from elsewhere');
    expect(await observers.emit(event('vram.sealed'))).toMatchObject({
      code: 'AUDIT_FAILED',
      cause: log.fails,
    });
  });

  it('one that throws before it gives a promise has failed like any other', async () => {
    const on = (): never => {
      throw new Error('at once');
    };
    const observers = new Observers([{ name: 'a', required: true, on }]);
    expect(await observers.emit(event('vram.sealed'))).toMatchObject({
      code: 'AUDIT_FAILED',
      cause: { message: 'at once' },
    });
  });

  it('are flushed and closed, those that can be, and every failure is given back', async () => {
    const calls: string[] = [];
    const observer = (name: string, required: boolean, fails: boolean): Observer => {
      const act = (what: string) => async (): Promise<void> => {
        calls.push(`${name} ${what}`);
        if (fails) throw new Error(`${name} ${what}`);
      };
      return { name, required, on: () => undefined, flush: act('flush'), close: act('close') };
    };
    const bare: Observer = { name: 'bare', required: true, on: () => undefined };
    const some = new Observers([bare, observer('a', false, true), observer('b', true, false)]);
    for (const what of ['flush', 'close'] as const) {
      expect(await some[what]()).toMatchObject([
        { name: 'a', error: { code: 'AUDIT_FAILED', message: 'the observer "a" failed' } },
      ]);
    }
    expect(calls).toEqual(['a flush', 'b flush', 'a close', 'b close']);
    const broken = new Observers([bare, observer('a', false, true), observer('c', true, true)]);
    for (const what of ['flush', 'close'] as const) {
      const [, last] = await broken[what]();
      expect(last).toMatchObject({
        name: 'c',
        error: {
          code: 'AUDIT_FAILED',
          message: 'the required observer "c" failed',
          cause: { message: `c ${what}` },
        },
      });
    }
  });
});

describe('[AU-005] releases that could not be told', () => {
  it('are counted, and told again in their order once the observer takes something', async () => {
    const log = new Witness('log', true);
    const other = new Witness('other', true);
    const observers = new Observers([log, other]);
    log.fails = new Error('full');
    await observers.emit(event('vram.deallocated', '1'));
    await observers.emit(event('vram.sealed', 'never'));
    await observers.emit(event('vram.deallocated', '2'));
    expect(observers.unreportedReleases).toBe(2);
    other.fails = new Error('full');
    await observers.emit(event('vram.deallocated', '3'));
    expect(observers.unreportedReleases).toBe(4);
    log.fails = null;
    other.fails = null;
    await observers.emit(event('capacity.queried', '4'));
    expect(observers.unreportedReleases).toBe(0);
    const again = ['1', '2', '3'].map((id) => `vram.deallocated ${id}`);
    expect(log.seen).toEqual(['capacity.queried 4', ...again]);
    expect(other.seen.slice(-2)).toEqual(['capacity.queried 4', 'vram.deallocated 3']);
    await observers.emit(event('capacity.queried', '5'));
    expect(log.seen).toHaveLength(5);
  });

  it('are not kept for an observer that is not required', async () => {
    const metrics = new Witness('metrics', false);
    const observers = new Observers([metrics]);
    metrics.fails = new Error('gone');
    expect(await observers.emit(event('vram.deallocated'))).toBeNull();
    expect(observers.unreportedReleases).toBe(0);
    metrics.fails = null;
    await observers.emit(event('capacity.queried', '1'));
    expect(metrics.seen).toEqual(['capacity.queried 1']);
  });

  it('are kept where telling them again fails midway: what was taken is not told twice', async () => {
    const seen: string[] = [];
    let refused = (_id: string): boolean => true;
    const log: Observer = {
      name: 'log',
      required: true,
      on: ({ operationId }) => {
        if (refused(operationId)) throw new Error('full');
        seen.push(operationId);
      },
    };
    const observers = new Observers([log]);
    for (const id of ['1', '2', '3']) await observers.emit(event('vram.deallocated', id));
    refused = (id) => id === '2';
    expect(await observers.emit(event('capacity.queried', '4'))).toBeNull();
    expect(seen).toEqual(['4', '1']);
    expect(observers.unreportedReleases).toBe(2);
    refused = () => false;
    await observers.emit(event('capacity.queried', '5'));
    expect(seen).toEqual(['4', '1', '5', '2', '3']);
    expect(observers.unreportedReleases).toBe(0);
  });

  it('[AU-005] receive releases in order, whatever fails while older ones are sent again', async () => {
    const seen: string[] = [];
    let fails = true;
    let hold: Promise<void> | null = null;
    const observers = new Observers([
      {
        name: 'log',
        required: true,
        on: async ({ type, operationId }) => {
          if (type === 'vram.deallocated' && hold !== null) await hold;
          if (type === 'vram.deallocated' && fails) throw new Error('the disk is full');
          seen.push(operationId);
        },
      },
    ]);
    await observers.emit(event('vram.deallocated', 'first'));
    let letGo = () => {};
    hold = new Promise((resolve) => {
      letGo = resolve;
    });
    const retrying = observers.emit(event('capacity.queried', 'query'));
    await Promise.resolve();
    const older = hold;
    hold = null;
    await observers.emit(event('vram.deallocated', 'second'));
    expect(observers.unreportedReleases).toBe(1);
    letGo();
    await Promise.all([older, retrying]);
    expect(observers.unreportedReleases).toBe(2);
    fails = false;
    await observers.emit(event('capacity.queried', 'again'));
    expect(seen).toEqual(['query', 'again', 'first', 'second']);
    expect(observers.unreportedReleases).toBe(0);
  });
});
