import { describe, expect, it } from 'vitest';
import { Generation, LoadWatch, ModelTable } from '../../../src/worker/models/index.js';
import { TestClock } from '../manager/fixture.js';

const OPTIONS = { expected: null, hashing: 'host', part: null, layout: 'files', share: false } as const;
const SOURCE = { label: 'm', byteLength: 10, files: null, isOnnx: false, shards: [] };

/** The next generation of a name, being loaded. */
function begin(table: ModelTable, name: string): Generation {
  const watch = new LoadWatch(new TestClock(), 1_000);
  const generation = new Generation(name, table.nextNumber(name), SOURCE, OPTIONS, 4096, watch);
  table.begin(generation);
  return generation;
}

const coded = (code: string, message: string) => expect.objectContaining({ code, message });

describe('the table of models', () => {
  it('serves a generation from its promotion on, and says what one that does not serve is doing', () => {
    const table = new ModelTable(4);
    const missing = 'there is no model "m"; GET /v1/models lists the models';
    expect(() => table.serving('m')).toThrow(coded('NOT_FOUND', missing));
    const first = begin(table, 'm');
    expect([first.modelRef, first.number, first.progress]).toEqual(['m@1', 1, { bytes: 0, totalBytes: 10 }]);
    expect(() => table.serving('m')).toThrow(coded('STOPPED', 'the model "m" is still being loaded'));
    expect(table.find('m')).toMatchObject({ current: null, next: first });
    expect(table.promote(first)).toBeNull();
    expect(table.serving('m')).toBe(first);
    expect(first.state).toBe('resident');
    expect(table.find('m')).toMatchObject({ current: first, next: null });
    expect(table.list()).toEqual([{ current: first, next: null, lastNumber: 1 }]);
  });

  it('says of a first generation that failed that it could not be loaded, and gives the next one its number', () => {
    const table = new ModelTable(4);
    begin(table, 'm').state = 'failed';
    expect(() => table.serving('m')).toThrow(coded('STOPPED', 'the model "m" could not be loaded'));
    expect(begin(table, 'm').number).toBe(2);
  });

  it('loads one generation of a name at a time', () => {
    const table = new ModelTable(4);
    begin(table, 'm');
    expect(() => table.nextNumber('m')).toThrow(
      coded('INVALID_INPUT', '"name" is being loaded already; wait for that, or delete it'),
    );
  });

  it('has room for so many names, any of which may be loaded anew', () => {
    const table = new ModelTable(2);
    table.promote(begin(table, 'a'));
    begin(table, 'b');
    expect(() => table.nextNumber('c')).toThrow(
      coded('INVALID_INPUT', '"name" would be one of more than 2 models; delete others first'),
    );
    expect(table.nextNumber('a')).toBe(2);
  });

  it('counts a generation that was replaced until it is gone', () => {
    const table = new ModelTable(4);
    const first = begin(table, 'm');
    table.promote(first);
    const second = begin(table, 'm');
    expect(table.generations()).toEqual([first, second]);
    expect(table.serving('m')).toBe(first);
    expect(table.promote(second)).toBe(first);
    expect([first.state, second.state]).toEqual(['releasing', 'resident']);
    expect(table.generations()).toEqual([second, first]);
    expect(table.ofModelRef('m@1')).toBe(first);
    table.gone(first);
    expect(table.generations()).toEqual([second]);
    expect(table.ofModelRef('m@1')).toBeNull();
    expect(table.ofModelRef(null)).toBeNull();
  });

  it('forgets a name at once, and its generations when they are gone', () => {
    const table = new ModelTable(4);
    const first = begin(table, 'm');
    table.promote(first);
    const loading = begin(table, 'm');
    expect(table.remove('m')).toMatchObject({ current: first, next: loading });
    expect(() => table.find('m')).toThrow(expect.objectContaining({ code: 'NOT_FOUND' }));
    expect([first.state, loading.state]).toEqual(['releasing', 'loading']);
    expect(table.generations()).toEqual([first, loading]);
    expect(() => table.promote(loading)).toThrow(
      coded('ABORTED', 'the model was deleted while it was loaded'),
    );
    // Numbers begin anew with the name; what was deleted meanwhile is not taken for it.
    const again = begin(table, 'm');
    expect(again.number).toBe(1);
    expect(() => table.promote(loading)).toThrow(expect.objectContaining({ code: 'ABORTED' }));
    expect(table.promote(again)).toBeNull();
  });

  it('does not count one that failed once its name is deleted', () => {
    const table = new ModelTable(4);
    begin(table, 'm').state = 'failed';
    table.remove('m');
    expect(table.generations()).toEqual([]);
  });
});

describe('a generation', () => {
  it('is unused once nobody uses it, however the use ended', async () => {
    const generation = begin(new ModelTable(1), 'm');
    await generation.unused();
    let finish: (value: number) => void = () => undefined;
    let fail: (error: Error) => void = () => undefined;
    const first = new Promise<number>((resolve) => {
      finish = resolve;
    });
    const second = new Promise<number>((_, reject) => {
      fail = reject;
    });
    const uses = [generation.use(() => first), generation.use(() => second)];
    let unused = false;
    const waiting = generation.unused().then(() => {
      unused = true;
    });
    finish(7);
    expect(await uses[0]).toBe(7);
    await new Promise((resolve) => setImmediate(resolve));
    expect(unused).toBe(false);
    fail(new Error('no'));
    await expect(uses[1]).rejects.toThrow('no');
    await waiting;
    expect(unused).toBe(true);
  });
});

describe('the watch over a load', () => {
  const STALLED = {
    name: 'ServiceError',
    code: 'LOAD_STALLED',
    message: 'no byte came for 1000 ms; what was loaded has been freed',
  };

  it('ends a load to which no further byte comes', () => {
    const clock = new TestClock();
    const watch = new LoadWatch(clock, 1_000);
    clock.turn(999);
    watch.saw(5);
    clock.turn(999);
    expect(watch.signal.aborted).toBe(false);
    watch.saw(5);
    clock.turn(1);
    expect(watch.signal.reason).toMatchObject(STALLED);
    expect(watch.failure(new Error('other'))).toBe(watch.signal.reason);
  });

  it('counts the first look at no bytes as progress', () => {
    const clock = new TestClock();
    const watch = new LoadWatch(clock, 1_000);
    clock.turn(999);
    watch.saw(0);
    clock.turn(999);
    expect(watch.signal.aborted).toBe(false);
  });

  it('does not run while the device works, nor after the end', () => {
    const clock = new TestClock();
    const watch = new LoadWatch(clock, 1_000);
    watch.pause();
    clock.turn(5_000);
    expect(watch.signal.aborted).toBe(false);
    watch.resume();
    expect(clock.waiting).toBe(1);
    watch.end();
    expect(clock.waiting).toBe(0);
    const error = new Error('its own');
    expect(watch.failure(error)).toBe(error);
  });

  it('is called off with a reason', () => {
    const watch = new LoadWatch(new TestClock(), 1_000);
    const reason = new Error('deleted');
    watch.cancel(reason);
    expect(watch.signal.aborted).toBe(true);
    expect(watch.failure(new Error('other'))).toBe(reason);
  });
});
