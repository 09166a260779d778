import { describe, expect, it } from 'vitest';
import type { Region } from '../../../../src/device/index.js';
import { bytesSource } from '../../../../src/source/index.js';
import { failure, type OpenHost, openHost, overlay, pattern, regionsOf, wrapRegions } from '../fixture.js';

// What a scrubber lets others do while it looks at their shard, and what it waits for (src/manager/state/shard-lock.ts).

const GROUP = 524_288;
/** Steps of 8 groups, the least there are. */
const FAST = { intervalMs: 1, bytesPerSecond: 2 ** 27 };

/** The test's own time limit is the way out. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await soon();
}

const soon = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1));

/** Whoever has nothing to wait for has gone on by then. */
async function idle(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await soon();
}

/** A door that is open until it is shut; `waiting` counts who stands before it. */
class Door {
  waiting = 0;
  #opened: Promise<void> | null = null;
  #open: () => void = () => undefined;

  shut(): void {
    this.#opened = new Promise((resolve) => {
      this.#open = resolve;
    });
  }

  open(): void {
    this.#opened = null;
    this.#open();
  }

  async pass(): Promise<void> {
    if (this.#opened === null) return;
    this.waiting++;
    await this.#opened;
    this.waiting--;
  }
}

/** A shard with doors before the steps of a scrub, before a hash of the whole, and before a drill's damage. */
async function sealed(bytes: Uint8Array = pattern(5), options: OpenHost['options'] = {}) {
  const [step, root, strike] = [new Door(), new Door(), new Door()];
  let steps = 0;
  const seen = regionsOf((device) =>
    wrapRegions(device, (region) =>
      overlay(region, {
        nodes: async (...args: Parameters<Region['nodes']>) => {
          steps++;
          await step.pass();
          return await region.nodes(...args);
        },
        root: async (...args: Parameters<Region['root']>) => {
          await root.pass();
          return await region.root(...args);
        },
        faults: {
          flip: async (byte: number, mask: number) => {
            await strike.pass();
            await region.faults?.flip(byte, mask);
          },
        },
      }),
    ),
  );
  const opened = await openHost({ wrap: seen.wrap, options });
  const reopen = async () => bytesSource(bytes);
  const shard = await opened.manager.seal(bytesSource(bytes), { shardId: 'a', reopen });
  steps = 0;
  const passes = (): number => opened.recorder.of('scrub.finished').length;
  return { ...opened, shard, step, root, strike, flip: seen.flip, steps: () => steps, passes };
}

/** A lease of the shard that lasts until it is ended. */
async function lease({ manager, shard }: Pick<Awaited<ReturnType<typeof sealed>>, 'manager' | 'shard'>) {
  const door = new Door();
  door.shut();
  const ended = manager.execute(shard, async () => {
    await door.pass();
    return 'done';
  });
  await until(() => door.waiting > 0);
  return {
    ended,
    end: async () => {
      door.open();
      return await ended;
    },
  };
}

describe('a step of a scrub', () => {
  it('goes on while a lease is running for which a drill waits', async () => {
    const set = await sealed();
    const { manager, shard, clock, passes } = set;
    const running = await lease(set);
    let drilled = false;
    const drill = manager.drill(shard, { seed: 1 }).then(() => {
      drilled = true;
    });
    const scrubber = manager.scrub(FAST);
    await idle();
    // It yields to leases for its interval.
    clock.turn(5);
    await until(() => passes() > 0);
    expect(drilled).toBe(false);
    await scrubber.stop();
    expect(await running.end()).toBe('done');
    await drill;
    await manager.close();
  });

  it('lets leases begin and end beside it', async () => {
    const set = await sealed();
    const { manager, shard, step, passes } = set;
    step.shut();
    const scrubber = manager.scrub(FAST);
    await until(() => step.waiting > 0);
    const [one, other] = [await lease(set), await lease(set)];
    expect(await one.end()).toBe('done');
    expect(await manager.execute(shard, () => 'at once')).toBe('at once');
    expect(await other.end()).toBe('done');
    expect([step.waiting, passes()]).toEqual([1, 0]);
    step.open();
    await scrubber.stop();
    await manager.close();
  });

  it.each(['drill', 'heal', 'release'] as const)('is ended before a %s begins', async (name) => {
    const { manager, shard, step, root, strike } = await sealed();
    step.shut();
    const scrubber = manager.scrub(FAST);
    await until(() => step.waiting > 0);
    for (const door of [root, strike]) door.shut();
    let done = false;
    const writes = {
      drill: () => manager.drill(shard, { seed: 1 }),
      heal: () => manager.heal(shard, bytesSource(pattern(5))),
      release: () => manager.release(shard),
    };
    const writer = writes[name]().then(() => {
      done = true;
    });
    await idle();
    expect([done, step.waiting, root.waiting, strike.waiting]).toEqual([false, 1, 0, 0]);
    for (const door of [step, root, strike]) door.open();
    await writer;
    await scrubber.stop();
    await manager.close();
  });

  it('lets no later verification pass a drill that waits for it', async () => {
    const { manager, shard, step, root, strike } = await sealed();
    step.shut();
    const scrubber = manager.scrub(FAST);
    await until(() => step.waiting > 0);
    strike.shut();
    const drill = manager.drill(shard, { seed: 1 });
    await idle();
    root.shut();
    const verified = failure(manager.verify(shard));
    await idle();
    expect([root.waiting, strike.waiting]).toEqual([0, 0]);
    root.open();
    const stopped = scrubber.stop();
    step.open();
    await until(() => strike.waiting > 0);
    strike.open();
    await drill;
    // It came after the drill, and so it finds the damage.
    expect(await verified).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
    await stopped;
    await manager.close();
  });

  it('that waits for a drill looks at nothing once the scrubber was stopped', async () => {
    const { manager, shard, strike, steps, passes } = await sealed();
    strike.shut();
    const drill = manager.drill(shard, { seed: 1 });
    await until(() => strike.waiting > 0);
    const scrubber = manager.scrub(FAST);
    await idle();
    expect(steps()).toBe(0);
    const stopped = scrubber.stop();
    strike.open();
    await Promise.all([drill, stopped]);
    expect([steps(), passes()]).toEqual([0, 0]);
    await manager.close();
  });

  it('of a shard that is released meanwhile is the last one, and no failure', async () => {
    const { manager, shard, step, steps, recorder } = await sealed(pattern(8 * GROUP + 1));
    step.shut();
    const scrubber = manager.scrub({ ...FAST, intervalMs: 60_000 });
    await until(() => step.waiting > 0);
    const released = manager.release(shard);
    await idle();
    step.open();
    await released;
    await until(() => recorder.of('operation.finished').some(({ operation }) => operation === 'scrub'));
    await scrubber.stop();
    expect(steps()).toBe(1);
    expect(recorder.types('scrub')).toEqual(['operation.started', 'operation.finished']);
    expect(recorder.of('operation.finished').find(({ operation }) => operation === 'scrub')).toMatchObject({
      ok: true,
      error: null,
    });
    await manager.close();
  });
});

describe('damage that a scrub finds', () => {
  it('[ST-001] takes a shard from its lease at once, also while a drill waits for the lease', async () => {
    const set = await sealed();
    const { manager, shard, clock, flip } = set;
    const running = await lease(set);
    const drill = manager.drill(shard, { seed: 1 });
    await idle();
    await flip(0, 1, 1);
    const scrubber = manager.scrub(FAST);
    await idle();
    clock.turn(5);
    await until(() => manager.status().quarantined.length > 0);
    await scrubber.stop();
    expect(await failure(running.end())).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
    await drill;
    await manager.close();
  });

  it('is looked at again beside a lease, and healed only when that has ended', async () => {
    const set = await sealed();
    const { manager, shard, clock, root, flip, recorder } = set;
    await manager.verify(shard);
    const running = await lease(set);
    await flip(0, 1, 1);
    root.shut();
    const scrubber = manager.scrub({ ...FAST, heal: true });
    await idle();
    clock.turn(5);
    await until(() => root.waiting > 0);
    // The whole verification keeps no execution from beginning. Since a group differed, what was verified before no longer
    // counts.
    const trusting = failure(manager.execute(shard, () => 'not run', { maxAgeMs: 1e9 }));
    await until(() => root.waiting > 1);
    root.open();
    expect(await trusting).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
    await until(() => manager.status().quarantined.length > 0);
    await idle();
    expect(recorder.of('shard.healed')).toEqual([]);
    expect(await failure(running.end())).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
    await until(() => recorder.of('shard.healed').length > 0);
    await scrubber.stop();
    expect(manager.status().quarantined).toEqual([]);
    await manager.close();
  });

  it('lets no later verification pass a drill that waits for the second look', async () => {
    const { manager, shard, root, strike, flip, recorder } = await sealed();
    await flip(0, 1, 1);
    root.shut();
    const scrubber = manager.scrub(FAST);
    await until(() => root.waiting > 0);
    strike.shut();
    const drill = manager.drill(shard, { seed: 1 });
    await idle();
    const verified = failure(manager.verify(shard));
    await idle();
    expect([root.waiting, strike.waiting]).toEqual([1, 0]);
    root.open();
    await until(() => strike.waiting > 0);
    expect(recorder.of('seal.verification_failed')).toMatchObject([{ operation: 'scrub' }]);
    strike.open();
    await drill;
    await verified;
    await scrubber.stop();
    await manager.close();
  });
});
