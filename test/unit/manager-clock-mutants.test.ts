import { afterEach, describe, expect, it, vi } from 'vitest';
import { VramError } from '../../src/base/errors.js';
import { type Core, terminationReason } from '../../src/manager/state/core.js';
import { revokeLeases } from '../../src/manager/state/device-loss.js';
import { Lifecycle } from '../../src/manager/state/lifecycle.js';
import { sleep } from '../../src/manager/state/sleep.js';

describe('what an operation ends with', () => {
  const aborted = new VramError('ABORTED', 'aborted');
  const other = new VramError('NOT_FOUND', 'other');
  const foreign = new Error('foreign');
  const fired = AbortSignal.abort();
  const { signal } = new AbortController();

  it('is its own error while the manager serves', () => {
    const core = { lifecycle: new Lifecycle() } as unknown as Core;
    for (const error of [aborted, other, foreign]) {
      for (const given of [undefined, signal, fired])
        expect(terminationReason(core, given, error)).toBe(error);
    }
  });

  it('is the end of the manager where nobody else aborted it', () => {
    const lifecycle = new Lifecycle();
    lifecycle.lose('it fell off');
    const core = { lifecycle } as unknown as Core;
    const lost = { code: 'DEVICE_LOST', message: 'the device is lost: it fell off' };
    expect(terminationReason(core, undefined, aborted)).toMatchObject(lost);
    expect(terminationReason(core, signal, aborted)).toMatchObject(lost);
    expect(terminationReason(core, fired, aborted)).toBe(aborted);
    for (const error of [other, foreign]) expect(terminationReason(core, undefined, error)).toBe(error);
  });
});

describe('revoking leases', () => {
  it('ends each with the reason, and says how many there were', () => {
    const leases = new Set([new AbortController(), new AbortController()]);
    expect(revokeLeases(leases, 'why')).toBe(2);
    expect([...leases].map((lease) => lease.signal.reason)).toEqual(['why', 'why']);
    expect(revokeLeases(new Set(), 'why')).toBe(0);
  });
});

describe('a pause', () => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it.each<[string, unknown]>([
    ['a page, whose timers are numbers', 7],
    ['an engine whose timers are objects of another kind', {}],
    ['an engine whose timers have an unref that is none', { unref: true }],
    ['an engine that gives nothing', null],
  ])('needs nothing of the timers of %s', async (_name, timer) => {
    const cleared: unknown[] = [];
    let fire: () => void = () => undefined;
    vi.spyOn(globalThis, 'setTimeout').mockImplementation(((done: () => void) => {
      fire = done;
      return timer;
    }) as never);
    vi.spyOn(globalThis, 'clearTimeout').mockImplementation((given) => void cleared.push(given));
    const sleeping = sleep(1000, new AbortController().signal);
    fire();
    await sleeping;
    expect(cleared).toEqual([timer]);
  });

  it("keeps no process alive: Node's timers are told so", async () => {
    const unref = vi.fn();
    let waits: unknown;
    let fire: () => void = () => undefined;
    vi.spyOn(globalThis, 'setTimeout').mockImplementation(((done: () => void, ms: number) => {
      fire = done;
      waits = ms;
      return { unref };
    }) as never);
    vi.spyOn(globalThis, 'clearTimeout').mockImplementation(() => undefined);
    const sleeping = sleep(1000, new AbortController().signal);
    expect([unref.mock.calls.length, waits]).toEqual([1, 1000]);
    fire();
    await sleeping;
  });

  it('of nothing, or after its signal, sets no timer', async () => {
    const setTimer = vi.spyOn(globalThis, 'setTimeout');
    await sleep(0, new AbortController().signal);
    await sleep(-5, new AbortController().signal);
    await sleep(5, AbortSignal.abort());
    expect(setTimer).not.toHaveBeenCalled();
  });
});
