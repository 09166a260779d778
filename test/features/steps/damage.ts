import { expect } from 'vitest';
import { bytesSource } from '../../../src/source/index.js';
import type { StepBook } from '../gherkin.js';
import type { World } from '../world.js';

const BLOCK = 4096;

/** Damage to resident bytes, past every lock, and its repair. */
export function damageSteps(book: StepBook<World>): void {
  book.define('byte {int} of {string} is damaged', async (world, values) => {
    await world.shard(values.text(1)).faults.flip(values.number(0), 1);
  });

  book.define('bit {int} of byte {int} of {string} is flipped', async (world, values) => {
    await world.shard(values.text(2)).faults.flip(values.number(1), 1 << values.number(0));
  });

  book.define('the last byte of {string} is damaged', async (world, values) => {
    const { bytes, faults } = world.shard(values.text(0));
    await faults.flip(bytes.length - 1, 0x80);
  });

  book.define('the padding after {string} is damaged', async (world, values) => {
    const { bytes, faults } = world.shard(values.text(0));
    expect(bytes.length % BLOCK).not.toBe(0);
    await faults.flip(bytes.length, 0x01);
  });

  book.define('blocks {string} of {string} are damaged', async (world, values) => {
    for (const block of values.text(0).split(', ')) {
      await world.shard(values.text(1)).faults.flip(Number(block) * BLOCK + 17, 0x40);
    }
  });

  book.define('a drill with the seed {int} flips {int} bits of {string}', async (world, values) => {
    const { handle } = world.shard(values.text(2));
    const options = { seed: values.number(0), flips: values.number(1) };
    await world.attempt(() => world.manager.drill(handle, options));
  });

  book.define('the damage is reported in the blocks of the drill', async (world) => {
    const flipped = new Set(world.recorder.of('drill.injected').map(({ byte }) => Math.floor(byte / BLOCK)));
    expect(reportedBlocks(world)).toEqual([...flipped].sort((a, b) => a - b));
  });

  book.define('the damage is reported in the blocks {string}', (world, values) => {
    expect(reportedBlocks(world).join(', ')).toBe(values.text(0));
  });

  book.define('{string} is healed from its source', async (world, values) => {
    const { handle, bytes } = world.shard(values.text(0));
    await world.attempt(() => world.manager.heal(handle, bytesSource(bytes, 'its source')));
  });

  book.define('{string} is healed from a source with other bytes', async (world, values) => {
    const { handle, bytes } = world.shard(values.text(0));
    const other = bytes.map((byte) => byte ^ 1);
    await world.attempt(() => world.manager.heal(handle, bytesSource(other)));
  });

  book.define('{string} is healed from a source that is one byte shorter', async (world, values) => {
    const { handle, bytes } = world.shard(values.text(0));
    await world.attempt(() => world.manager.heal(handle, bytesSource(bytes.subarray(1))));
  });

  book.define('{string} is healed from a source that can only be streamed', async (world, values) => {
    const { handle, bytes } = world.shard(values.text(0));
    const { readRange: _, ...streamed } = bytesSource(bytes);
    await world.attempt(() => world.manager.heal(handle, streamed));
  });

  book.define('exactly {int} block(s) was/were healed', (world, values) => {
    expect(world.value).toMatchObject({ healedBlocks: values.number(0) });
  });

  book.define(
    'while work is running on {string}, its byte {int} is damaged and {string} is verified',
    async (world, values) => {
      const { handle, faults } = world.shard(values.text(0));
      await world.attempt(() =>
        world.manager.execute(handle, async (lease) => {
          await faults.flip(values.number(1), 1);
          await world.manager.verify(world.shard(values.text(2)).handle).catch(() => undefined);
          world.leaseRevoked = lease.signal.aborted;
          return 'a result computed from damaged weights';
        }),
      );
    },
  );

  book.define('the work was signalled to end', (world) => {
    expect(world.leaseRevoked).toBe(true);
  });
}

function reportedBlocks(world: World): number[] {
  const { damaged, exact } = world.report;
  expect(exact).toBe(true);
  return damaged.flatMap(({ firstBlock, blocks }) =>
    Array.from({ length: blocks }, (_, index) => firstBlock + index),
  );
}
