import { BLOCK_BYTES } from '../../../src/digest/types.js';
import { equal, sameBytes } from '../assert.js';
import type { ContractCase } from '../context.js';
import { hostTree, rootOf } from '../host-tree.js';
import { affordable, dataOf, using } from '../regions.js';

const MIB = 1024 * 1024;

export const writingCases: readonly ContractCase[] = [
  {
    name: '[CI-008] odd chunks, one after another: what was written is what is read and hashed',
    run: async (context) => {
      const bytes = dataOf(31, affordable(context, 2 * MIB + 12_345));
      const tree = await hostTree(context.oracle, bytes);
      const device = await context.shared();
      for (const chunk of [65_537, 777_777, 1_000_003]) {
        await using(await device.allocate(bytes.length), async (region) => {
          for (let at = 0; at < bytes.length; at += chunk)
            await region.write(at, bytes.subarray(at, at + chunk));
          await region.freeze();
          sameBytes((await region.root()).root, rootOf(tree), `root with chunks of ${chunk}`);
          sameBytes(await region.read(0, bytes.length), bytes, `bytes with chunks of ${chunk}`);
        });
      }
    },
  },
  {
    name: 'chunks of one to nine bytes at every alignment arrive, and touch nothing beside them',
    run: async (context) => {
      const model = dataOf(32, 2 * BLOCK_BYTES + 11);
      await using(await (await context.shared()).allocate(model.length), async (region) => {
        await region.write(0, model);
        for (let i = 0; i < 72; i++) {
          const length = 1 + (i % 9);
          const offset = i < 36 ? BLOCK_BYTES - 20 + i : model.length - length - (i % 8);
          const piece = dataOf(100 + i, length);
          model.set(piece, offset);
          await region.write(offset, piece);
        }
        await region.freeze();
        sameBytes(await region.read(0, model.length), model, 'bytes');
        sameBytes((await region.root()).root, rootOf(await hostTree(context.oracle, model)), 'root');
      });
    },
  },
  {
    name: 'writes that overlap, in time and in place, are carried out in the order of the calls',
    run: async (context) => {
      const model = new Uint8Array(300_000);
      await using(await (await context.shared()).allocate(model.length), async (region) => {
        const pending: Promise<void>[] = [];
        for (let i = 0; i < 24; i++) {
          const piece = dataOf(200 + i, i % 3 === 0 ? 90_001 : 1003 + i);
          const offset = (i * 7919) % (model.length - piece.length);
          model.set(piece, offset);
          pending.push(region.write(offset, piece));
        }
        // Not awaited before: freeze waits for them.
        const frozen = region.freeze();
        await Promise.all(pending);
        await frozen;
        sameBytes(await region.read(0, model.length), model, 'bytes');
        sameBytes((await region.root()).root, rootOf(await hostTree(context.oracle, model)), 'root');
      });
    },
  },
  {
    name: 'a buffer may be used again as soon as its write has resolved',
    run: async (context) => {
      const bytes = dataOf(33, 600_000);
      const buffer = new Uint8Array(50_000);
      await using(await (await context.shared()).allocate(bytes.length), async (region) => {
        for (let at = 0; at < bytes.length; at += buffer.length) {
          buffer.set(bytes.subarray(at, at + buffer.length));
          await region.write(at, buffer);
          buffer.fill(0xee);
        }
        await region.freeze();
        sameBytes(await region.read(0, bytes.length), bytes, 'bytes');
      });
    },
  },
  {
    name: 'a write of part of a larger buffer writes that part alone',
    run: async (context) => {
      const whole = dataOf(34, 3 * BLOCK_BYTES);
      await using(await (await context.shared()).allocate(BLOCK_BYTES), async (region) => {
        await region.write(0, whole.subarray(1234, 1234 + BLOCK_BYTES));
        await region.freeze();
        sameBytes(await region.read(0, BLOCK_BYTES), whole.subarray(1234, 1234 + BLOCK_BYTES), 'bytes');
      });
    },
  },
  {
    name: 'read before freeze sees every write called before it',
    run: async (context) => {
      const bytes = dataOf(35, 10_000);
      await using(await (await context.shared()).allocate(bytes.length), async (region) => {
        const pending = region.write(0, bytes);
        const read = region.read(0, bytes.length);
        await pending;
        sameBytes(await read, bytes, 'bytes');
      });
    },
  },
  {
    name: 'reads at odd offsets and lengths',
    run: async (context) => {
      const bytes = dataOf(36, 700_001);
      await using(await (await context.shared()).allocate(bytes.length), async (region) => {
        await region.write(0, bytes);
        await region.freeze();
        for (const [offset, length] of [
          [0, 1],
          [1, 1],
          [3, 2],
          [4095, 2],
          [4097, 8191],
          [524_287, 3],
          [699_998, 3],
          [5, 699_996],
        ] as const) {
          sameBytes(
            await region.read(offset, length),
            bytes.subarray(offset, offset + length),
            `${length} bytes at ${offset}`,
          );
        }
      });
    },
  },
  {
    name: 'uploaded bytes are counted',
    run: async (context) => {
      const device = await context.shared();
      const before = device.stats().uploadedBytes;
      await using(await device.allocate(8192), async (region) => {
        await region.write(0, dataOf(37, 4096));
        await region.write(4096, dataOf(38, 4096));
        await region.freeze();
        equal(device.stats().uploadedBytes - before, 8192, 'uploaded bytes');
      });
    },
  },
];
