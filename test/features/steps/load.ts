import { expect } from 'vitest';
import { isVramError } from '../../../src/base/errors.js';
import { bytesSource } from '../../../src/source/index.js';
import type { StepBook } from '../gherkin.js';
import { type World, weightsOf } from '../world.js';
import { execute } from './handles.js';

/** Much of the same, one after another and at once. */
export function loadSteps(book: StepBook<World>): void {
  book.define('{int} shards of {size} are sealed on the host, {int} elsewhere', async (world, values) => {
    const count = scaled(world, values.number(0), values.number(2));
    for (let index = 0; index < count; index++) {
      await world.seal(`tiny-${index}`, weightsOf(`tiny-${index}`, values.number(1)));
    }
    expect(world.manager.status().liveShards).toBe(count);
  });

  book.define('every one of them verifies', async (world) => {
    for (const [name, { handle }] of world.shards) {
      expect(await world.manager.verify(handle)).toMatchObject({ verified: true, shardId: name });
    }
  });

  book.define('every one of them is released', async (world) => {
    for (const { handle } of world.shards.values()) {
      expect(await world.manager.release(handle)).toMatchObject({ released: true, wiped: true });
    }
    world.shards.clear();
  });

  book.define(
    '{string} is verified {int} times on the host, {int} times elsewhere',
    async (world, values) => {
      const { handle } = world.shard(values.text(0));
      const count = scaled(world, values.number(1), values.number(2));
      for (let index = 0; index < count; index++) {
        expect(await world.manager.verify(handle)).toMatchObject({ verified: true });
      }
      expect(world.recorder.of('seal.verified')).toHaveLength(count);
    },
  );

  book.define(
    '{int} seals and verifications alternate, each shard released before the next',
    async (world, values) => {
      for (let index = 0; index < values.number(0); index++) {
        const name = `turn-${index}`;
        const { handle } = await sealed(world, name, 3000);
        expect(await world.manager.verify(handle)).toMatchObject({ verified: true });
        await world.manager.release(handle);
        world.shards.delete(name);
      }
    },
  );

  book.define('{int} seals of {size} are requested at the same time', async (world, values) => {
    const names = Array.from({ length: values.number(0) }, (_, index) => `rush-${index}`);
    world.rush = await Promise.allSettled(
      names.map(async (name) => {
        const bytes = weightsOf(name, values.number(1));
        return { name, bytes, handle: await world.manager.seal(bytesSource(bytes), { shardId: name }) };
      }),
    );
  });

  book.define('{int} of them are sealed and the others are refused as {code}', async (world, values) => {
    const won = world.rush.filter((each) => each.status === 'fulfilled');
    const lost = world.rush.filter((each) => each.status === 'rejected');
    expect(won).toHaveLength(values.number(0));
    for (const { reason } of lost) {
      if (!isVramError(reason)) throw reason;
      expect(reason.code).toBe(values.text(1));
    }
    for (const { value } of won)
      expect(await world.manager.verify(value.handle)).toMatchObject({ verified: true });
    const used = won.reduce((sum, { value }) => sum + world.device.allocationBytes(value.bytes.length), 0);
    expect((await world.capacity()).usedBytes).toBe(used);
  });

  book.define(
    '{int} seals under the one id {string} are requested at the same time',
    async (world, values) => {
      const shardId = values.text(1);
      const bytes = weightsOf(shardId, 3000);
      world.rush = await Promise.allSettled(
        Array.from({ length: values.number(0) }, async () => ({
          name: shardId,
          bytes,
          handle: await world.manager.seal(bytesSource(bytes), { shardId }),
        })),
      );
    },
  );

  book.define('capacity is queried {int} times while shards come and go', async (world, values) => {
    let running = true;
    const traffic = (async () => {
      for (let index = 0; running; index++) {
        const handle = await world.manager.seal(bytesSource(weightsOf(`t${index}`, 9000)));
        await world.manager.release(handle);
        // On the host nothing waits for a device: without a turn of the event loop the other side would starve.
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    try {
      for (let asked = 0; asked < values.number(0); asked++) {
        const { totalBytes, usedBytes, availableBytes } = await world.capacity();
        if (totalBytes === null || availableBytes === null) throw new Error('this scenario needs a budget');
        expect(totalBytes).toBeGreaterThanOrEqual(usedBytes + availableBytes);
        expect(availableBytes).toBeGreaterThanOrEqual(0);
        // Lets the other side get on.
        if (asked % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
    } finally {
      running = false;
      await traffic;
    }
  });

  book.define('{int} pieces of work run on {string} at the same time', async (world, values) => {
    const name = values.text(1);
    let inside = 0;
    let most = 0;
    const all = Array.from({ length: values.number(0) }, () =>
      world.manager.execute(world.shard(name).handle, async () => {
        most = Math.max(most, ++inside);
        world.executions++;
        while (most < values.number(0)) await new Promise((resolve) => setImmediate(resolve));
        inside--;
      }),
    );
    await Promise.all(all);
    expect(most).toBe(values.number(0));
  });

  book.define('{string} is released while work is running on it', async (world, values) => {
    const { handle } = world.shard(values.text(0));
    let release: Promise<unknown> = Promise.resolve();
    await world.attempt(() =>
      world.manager.execute(handle, async (lease) => {
        release = world.manager.release(handle);
        while (!lease.signal.aborted) await new Promise((resolve) => setImmediate(resolve));
        world.leaseRevoked = true;
        // Still there for as long as the work runs.
        expect(world.device.stats().liveRegions).toBe(1);
        return 'a result of a shard that is gone';
      }),
    );
    expect(await release).toMatchObject({ released: true, wiped: true });
    world.shards.delete(values.text(0));
  });

  book.define(
    '{int} verifications of {string} run at the same time as {int} of {string}',
    async (world, values) => {
      const verify = (count: number, name: string): Promise<unknown>[] =>
        Array.from({ length: count }, () => world.manager.verify(world.shard(name).handle));
      await Promise.all([
        ...verify(values.number(0), values.text(1)),
        ...verify(values.number(2), values.text(3)),
      ]);
    },
  );

  book.define(
    'work is requested {int} times on {string} and on {string}, in turns',
    async (world, values) => {
      for (let index = 0; index < values.number(0); index++) {
        expect(await execute(world, values.text(1))).toBe(values.text(1));
        expect(await execute(world, values.text(2))).toBe(values.text(2));
      }
    },
  );
}

function scaled(world: World, onHost: number, elsewhere: number): number {
  return world.isHost ? onHost : elsewhere;
}

async function sealed(world: World, name: string, byteLength: number) {
  const handle = await world.seal(name, weightsOf(name, byteLength));
  return { handle };
}
