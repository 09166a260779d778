import { describe, expect, it } from 'vitest';
import { withSignals } from '../../../../src/manager/state/signals.js';
import { failure } from '../fixture.js';

describe('joined signals', () => {
  it('fire with the first that fires and its reason; listeners are gone with the work', async () => {
    const one = new AbortController();
    const watchers = new Set<(reason: unknown) => void>();
    const ending = {
      onEnd: (watcher: (reason: unknown) => void) => {
        watchers.add(watcher);
        return () => void watchers.delete(watcher);
      },
    };
    let joined: AbortSignal | undefined;
    const result = await withSignals([undefined, one.signal, ending], async (signal) => {
      joined = signal;
      expect(signal.aborted).toBe(false);
      expect(watchers.size).toBe(1);
      for (const watcher of watchers) watcher('the end');
      expect([signal.aborted, signal.reason]).toEqual([true, 'the end']);
      return 5;
    });
    expect(result).toBe(5);
    expect(watchers.size).toBe(0);
    await withSignals([one.signal], async (signal) => {
      joined = signal;
    });
    one.abort('late');
    expect(joined?.aborted).toBe(false);
    const early = await withSignals([one.signal], async (signal) => signal);
    expect([early.aborted, early.reason]).toEqual([true, 'late']);
  });

  it('work that throws takes its listeners off, too', async () => {
    const one = new AbortController();
    let joined: AbortSignal | undefined;
    const work = withSignals([one.signal], async (signal) => {
      joined = signal;
      throw new Error('broken');
    });
    expect((await failure(work)).message).toBe('broken');
    one.abort();
    expect(joined?.aborted).toBe(false);
    await withSignals([new AbortController().signal], async (signal) => {
      expect(signal.aborted).toBe(false);
    });
  });

  it('one that fires while work runs fires the joined one', async () => {
    const one = new AbortController();
    await withSignals([undefined, one.signal], async (signal) => {
      one.abort('now');
      expect(signal.reason).toBe('now');
    });
  });
});
