import type { Region } from '../../../src/device/types.js';
import { BLOCK_BYTES, HASH_BYTES } from '../../../src/digest/types.js';
import { equal, refused, sameBytes } from '../assert.js';
import type { ContractCase, ContractContext } from '../context.js';
import { hostTree, padded, rootOf } from '../host-tree.js';
import { dataOf, SMALL_WINDOW } from '../regions.js';

/** A region and what must be in it, padding included. */
interface Modelled {
  readonly region: Region;
  readonly model: Uint8Array;
  frozen: boolean;
}

/** Integers in [0, below), the same for every run of a seed. */
function dice(seed: number): (below: number) => number {
  const words = dataOf(seed, 4 * 4096);
  const view = new DataView(words.buffer, words.byteOffset);
  let at = 0;
  return (below) => {
    at = (at + 4) % words.length;
    return view.getUint32(at, true) % below;
  };
}

async function check(context: ContractContext, one: Modelled, what: string): Promise<void> {
  const tree = await hostTree(context.oracle, one.model);
  const answer = await one.region.root();
  sameBytes(answer.root, rootOf(tree), `root, ${what}`);
  equal(answer.blocks, one.model.length / BLOCK_BYTES, `blocks, ${what}`);
}

/** One step on a live region; the model follows. */
async function step(
  context: ContractContext,
  one: Modelled,
  roll: (below: number) => number,
  seed: number,
): Promise<void> {
  const { region, model } = one;
  const offset = roll(region.byteLength);
  const length = 1 + roll(Math.min(60_000, region.byteLength - offset));
  if (!one.frozen) {
    if (roll(4) === 0) {
      await region.freeze();
      one.frozen = true;
      return;
    }
    const bytes = dataOf(seed, length);
    model.set(bytes, offset);
    await region.write(offset, bytes);
    return;
  }
  switch (roll(6)) {
    case 0: {
      const block = Math.floor(offset / BLOCK_BYTES);
      const bytes = dataOf(seed, Math.min(BLOCK_BYTES, region.byteLength - block * BLOCK_BYTES));
      model.set(padded(bytes), block * BLOCK_BYTES);
      await region.patch(block, bytes);
      return;
    }
    case 1: {
      const byte = roll(model.length);
      model[byte] = (model[byte] ?? 0) ^ 0x20;
      await region.faults?.flip(byte, 0x20);
      return;
    }
    case 2:
      sameBytes(await region.read(offset, length), model.subarray(offset, offset + length), 'read');
      return;
    case 3: {
      const tree = await hostTree(context.oracle, model);
      const level = roll(tree.length);
      const hashes = tree[level] ?? new Uint8Array();
      const first = roll(hashes.length / HASH_BYTES);
      const count = 1 + roll(hashes.length / HASH_BYTES - first);
      sameBytes(
        await region.nodes(level, first, count),
        hashes.subarray(first * HASH_BYTES, (first + count) * HASH_BYTES),
        `nodes [${first}, ${first + count}) of level ${level}`,
      );
      return;
    }
    case 4:
      await refused('INVALID_INPUT', () => region.write(offset, new Uint8Array(1)), 'write after freeze');
      return;
    default:
      await check(context, one, 'in the sequence');
  }
}

async function sequence(context: ContractContext, seed: number, steps: number): Promise<void> {
  const device = await context.shared({ drills: true, windowBytes: SMALL_WINDOW });
  const roll = dice(seed);
  const live: Modelled[] = [];
  try {
    for (let i = 0; i < steps; i++) {
      const choice = roll(8);
      if (live.length === 0 || (choice === 0 && live.length < 4)) {
        const byteLength = 1 + roll(400_000);
        const region = await device.allocate(byteLength);
        live.push({ region, model: padded(new Uint8Array(byteLength)), frozen: false });
      } else if (choice === 1 && live.length > 1) {
        const [gone] = live.splice(roll(live.length), 1);
        await gone?.region.release();
      } else {
        const one = live[roll(live.length)];
        if (one !== undefined) await step(context, one, roll, seed * 1000 + i);
      }
      equal(device.stats().liveRegions, live.length, 'live regions');
    }
    for (const one of live) {
      await one.region.freeze();
      await check(context, one, 'at the end');
    }
  } finally {
    for (const { region } of live) await region.release();
  }
}

export const randomCases: readonly ContractCase[] = [7, 8, 9].map((seed) => ({
  name: `random sequence ${seed}: allocate, write, freeze, root, nodes, read, patch, flip, release agree with a model`,
  run: (context) => sequence(context, seed, 70),
}));
