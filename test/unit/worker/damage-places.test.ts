import { expect, it } from 'vitest';
import { MIB, rig } from './fixture.js';

it('tells where a shard is damaged, from the verdict on until it is healed', async () => {
  await using made = await rig({}, { drills: true });
  const { worker } = made;
  await worker.commit({ name: 'm', path: await made.write('m.bin', 2 * MIB) });
  await made.settled('m');
  const damaged = (): unknown => worker.model('m').shards.map((shard) => shard.damaged);
  expect(damaged()).toEqual([[]]);

  const {
    blocks: [block = Number.NaN],
  } = await worker.drill('m', { seed: 7 });
  await worker.verify('m');
  // The worker keeps the hashes of groups of 128 blocks.
  const firstBlock = block - (block % 128);
  expect(damaged()).toEqual([[{ firstBlock, blocks: 128 }]]);
  expect(await made.events()).toContainEqual(
    expect.objectContaining({
      type: 'damage.located',
      model: 'm',
      data: { blocks: 128, exact: false, firstByte: firstBlock * 4_096 },
    }),
  );

  await worker.heal('m');
  expect(damaged()).toEqual([[]]);
});
