import { describe, expect, it } from 'vitest';
import { VramError } from '../../src/base/errors.js';
import type { TreeRoot } from '../../src/device/types.js';
import { nativeSinks } from '../../src/node/devices/sinks.js';
import { hostTarget } from '../support/host-target.js';
import type { Breakage } from './broken.js';
import { broken, overlay } from './broken.js';
import type { ContractCase, ContractTarget } from './cases.js';
import { ContractRun, contractCases } from './cases.js';

/** Cases by the beginning, or any part, of their names; a name that fits none is an error of this test. */
function casesNamed(part: string): readonly ContractCase[] {
  const found = contractCases.filter((test) => test.name.includes(part));
  if (found.length === 0) throw new Error(`no contract case is named "${part}"`);
  return found;
}

async function outcomes(target: ContractTarget, part: string): Promise<string[]> {
  const run = new ContractRun(target);
  const results: string[] = [];
  for (const test of casesNamed(part)) {
    const outcome = await run.run(test);
    // Anything else would be a fault of the suite itself, not a finding.
    const found =
      outcome.status === 'failed' &&
      outcome.error instanceof Error &&
      ['ContractFailure', 'VramError'].includes(outcome.error.name);
    results.push(outcome.status === 'failed' && !found ? String(outcome.error) : outcome.status);
  }
  await run.close();
  return results;
}

const sound = hostTarget('host');

function device(breakage: Breakage): () => ContractTarget {
  return () => broken(sound, breakage);
}

/** A device whose leaves kernel spoils its answer to inputs of a given number of blocks. */
function spoiledLeaves(spoils: (blocks: number) => boolean): () => ContractTarget {
  return () =>
    hostTarget(
      'host, spoiled',
      {},
      {
        kernels: (kernels) => ({
          leaves: async (input, output) => {
            const count = await kernels.leaves(input, output);
            if (spoils(input.length / 4096)) output[output.length - 1] = (output[output.length - 1] ?? 0) ^ 1;
            return count;
          },
          nodes: (input, output) => kernels.nodes(input, output),
        }),
      },
    );
}

interface Mutation {
  readonly broken: string;
  readonly target: () => ContractTarget;
  /** Part of the name of the case, or cases, that must all go red. */
  readonly red: string;
}

const mutations: readonly Mutation[] = [
  {
    broken: 'release does not wipe',
    target: () => hostTarget('host, no wipe', {}, { wipe: () => undefined }),
    red: '[MS-008]',
  },
  {
    broken: 'memory that was not wiped is used again',
    target: () => hostTarget('host with a pool, no wipe', { poolBytes: 2 ** 20 }, { wipe: () => undefined }),
    red: 'a region as large as one that was released is zeros',
  },
  {
    broken: 'the last block of a full small window is hashed wrong',
    target: spoiledLeaves((blocks) => blocks === 48),
    red: 'with a window of 192 KiB: root',
  },
  {
    broken: 'the last of exactly 128 blocks is hashed wrong',
    target: spoiledLeaves((blocks) => blocks === 128),
    red: '524288 bytes with the default window',
  },
  {
    broken: 'memory is never taken back from native code',
    target: () => {
      const sinks = nativeSinks();
      return hostTarget('host, sinks stay open', sinks && { sinks: { ...sinks, close: () => undefined } });
    },
    red: 'native code that',
  },
  {
    broken: 'native code fills the wrong place',
    target: device({
      region: ({ fillNatively }) => ({
        fillNatively: fillNatively && ((offset, length, fill) => fillNatively(offset >> 1, length, fill)),
      }),
    }),
    red: 'what native code reads from a file',
  },
  {
    broken: 'a failed fill is taken for a whole one',
    target: device({
      region: ({ fillNatively }) => ({
        fillNatively:
          fillNatively &&
          ((offset, length, fill) =>
            fillNatively(offset, length, (sink) => fill(sink).catch(() => undefined))),
      }),
    }),
    red: 'a fill that fails has its own error',
  },
  {
    broken: 'fills are over before they have ended',
    target: device({
      region: ({ fillNatively }) => ({
        fillNatively:
          fillNatively &&
          ((offset, length, fill) =>
            fillNatively(offset, length, async (sink) => {
              fill(sink).catch(() => undefined);
            })),
      }),
    }),
    red: 'fills under way together',
  },
  {
    broken: 'a write after freeze is taken and dropped',
    target: device({
      region: (region) => {
        let frozen = false;
        return {
          freeze: () => {
            frozen = true;
            return region.freeze();
          },
          write: async (offset, bytes) => {
            if (!frozen) await region.write(offset, bytes);
          },
        };
      },
    }),
    red: 'after freeze every write is refused',
  },
  {
    broken: 'a write loses its last byte when it ends at an odd offset',
    target: device({
      region: (region) => ({
        write: (offset, bytes) =>
          region.write(offset, bytes.subarray(0, bytes.length - ((offset + bytes.length) % 2))),
      }),
    }),
    red: 'odd chunks',
  },
  {
    broken: 'a write touches the byte behind it',
    target: device({
      region: (region) => ({
        write: async (offset, bytes) => {
          await region.write(offset, bytes);
          const behind = offset + bytes.length;
          if (bytes.length < 10 && behind < region.byteLength) await region.write(behind, new Uint8Array(1));
        },
      }),
    }),
    red: 'chunks of one to nine bytes',
  },
  {
    broken: 'large writes are late',
    target: device({
      region: (region) => {
        let late: (() => Promise<void>)[] = [];
        return {
          write: async (offset, bytes) => {
            if (bytes.length < 90_000) return await region.write(offset, bytes);
            late.push(() => region.write(offset, bytes));
          },
          freeze: async () => {
            const waiting = late;
            late = [];
            for (const write of waiting) await write();
            return await region.freeze();
          },
        };
      },
    }),
    red: 'writes that overlap',
  },
  {
    broken: 'a write keeps the caller’s buffer and copies it at freeze',
    target: device({
      region: (region) => {
        let kept: (() => Promise<void>)[] = [];
        return {
          write: async (offset, bytes) => {
            kept.push(() => region.write(offset, bytes));
          },
          freeze: async () => {
            const waiting = kept;
            kept = [];
            for (const write of waiting) await write();
            return await region.freeze();
          },
        };
      },
    }),
    red: 'a buffer may be used again',
  },
  {
    broken: 'root counts one block too few',
    target: device({
      region: (region) => ({
        root: async (options) => {
          const { root, blocks } = await region.root(options);
          return { root, blocks: blocks - 1 };
        },
      }),
    }),
    red: '4097 bytes with the default window',
  },
  {
    broken: 'root is stale: the first answer is given for ever',
    target: device({
      region: (region) => {
        let first: TreeRoot | null = null;
        return {
          root: async (options) => {
            first ??= await region.root(options);
            return first;
          },
        };
      },
    }),
    red: 'one flipped bit anywhere',
  },
  {
    broken: 'progress counts from the end',
    target: device({
      region: (region) => ({
        root: async ({ onProgress, ...options } = {}) =>
          await region.root({ ...options, onProgress: (bytes) => onProgress?.(region.byteLength - bytes) }),
      }),
    }),
    red: 'progress of a root: told on the way',
  },
  {
    broken: 'progress stops before the end',
    target: device({
      region: (region) => ({
        root: async ({ onProgress, ...options } = {}) =>
          await region.root({
            ...options,
            onProgress: (bytes) => {
              if (bytes < region.byteLength) onProgress?.(bytes);
            },
          }),
      }),
    }),
    red: 'progress of a root: told on the way',
  },
  {
    broken: 'progress is told of the end alone',
    target: device({
      region: (region) => ({
        root: async ({ onProgress, ...options } = {}) =>
          await region.root({
            ...options,
            onProgress: (bytes) => {
              if (bytes === region.byteLength) onProgress?.(bytes);
            },
          }),
      }),
    }),
    red: 'progress of a root: told on the way',
  },
  {
    broken: 'progress goes on after the signal has fired',
    target: device({
      region: (region) => ({
        root: async ({ onProgress, ...options } = {}) => {
          try {
            return await region.root({ ...options, onProgress });
          } catch (error) {
            onProgress?.(region.byteLength);
            throw error;
          }
        },
      }),
    }),
    red: 'progress of a root that is aborted',
  },
  {
    broken: 'root leaves the padding behind the last byte out',
    target: device({
      region: (region) => ({
        root: async (options) => {
          const { blocks } = await region.root(options);
          const bytes = await region.read(0, region.byteLength);
          let level = await sound.oracle.leaves(bytes);
          while (level.length > 32) level = await sound.oracle.nodes(level);
          return { root: level, blocks };
        },
      }),
    }),
    red: 'one flipped bit anywhere',
  },
  {
    broken: 'root copies the data back',
    target: device({
      region: (region) => ({
        root: async (options) => {
          await region.read(0, region.byteLength);
          return await region.root(options);
        },
      }),
    }),
    red: 'verification in place: root',
  },
  {
    broken: 'nodes copies the data back',
    target: device({
      region: (region) => ({
        nodes: async (level, first, count, options) => {
          await region.read(0, region.byteLength);
          return await region.nodes(level, first, count, options);
        },
      }),
    }),
    red: 'verification in place: nodes',
  },
  {
    broken: 'nodes forgets where to begin',
    target: device({
      region: (region) => ({
        nodes: (level, _first, count, options) => region.nodes(level, 0, count, options),
      }),
    }),
    red: 'any part of any level',
  },
  {
    broken: 'patch does not heal the padding',
    target: device({
      region: (region) => ({
        patch: async (block, bytes) => {
          await region.patch(block, bytes);
          if (bytes.length < 4096) await region.faults?.flip(region.allocatedBytes - 3, 8);
        },
      }),
    }),
    red: 'also where the damage lies in the padding',
  },
  {
    broken: 'patch takes any length',
    target: device({
      region: (region) => ({
        patch: async (block, bytes) => {
          const length = Math.min(4096, region.byteLength - block * 4096);
          const whole = new Uint8Array(Math.max(0, length));
          whole.set(bytes.subarray(0, whole.length));
          await region.patch(block, whole);
        },
      }),
    }),
    red: 'patch refuses blocks',
  },
  {
    broken: 'read cuts ranges that leave the region',
    target: device({
      region: (region) => ({
        read: (offset, length) =>
          region.read(offset, Math.min(length, Math.max(0, region.byteLength - offset))),
      }),
    }),
    red: 'read: every bad offset',
  },
  {
    broken: 'read takes offsets modulo 2^32',
    target: device({
      region: (region) => ({ read: (offset, length) => region.read(offset % 2 ** 32, length) }),
    }),
    red: 'read: every bad offset',
  },
  {
    broken: 'view does not look at its range',
    target: device({ region: (region) => ({ view: () => region.view(0, region.byteLength) }) }),
    red: 'view: every bad offset',
  },
  {
    broken: 'a binding outlives its lease',
    target: device({
      region: (region) => ({
        view: (offset, length) => {
          const binding = region.view(offset, length);
          return overlay(binding, { end: async () => undefined });
        },
      }),
    }),
    red: 'a view binds exactly its range',
  },
  {
    broken: 'a second release fails',
    target: device({
      region: (region) => {
        let released = false;
        return {
          release: async () => {
            if (released) throw new VramError('NOT_FOUND', 'released already');
            released = true;
            await region.release();
          },
        };
      },
    }),
    red: 'release twice',
  },
  {
    broken: 'a released region still answers root',
    target: device({
      region: (region) => {
        let released = false;
        return {
          release: () => {
            released = true;
            return region.release();
          },
          root: async (options) =>
            released ? { root: new Uint8Array(32), blocks: 3 } : await region.root(options),
        };
      },
    }),
    red: 'answers NOT_FOUND to everything',
  },
  {
    broken: 'releasing one region spoils the run of another',
    target: device({
      device: (whole) => {
        let releases = 0;
        return {
          allocate: async (byteLength) => {
            const region = await whole.allocate(byteLength);
            return overlay(region, {
              release: () => {
                releases++;
                return region.release();
              },
              root: async (options) => {
                const before = releases;
                const answer = await region.root(options);
                return before === releases ? answer : { ...answer, root: new Uint8Array(32) };
              },
            });
          },
        };
      },
    }),
    red: 'a root under way while another region is released',
  },
  {
    broken: 'closing one device ends every other',
    target: () => {
      const opened: { close(): Promise<void> }[] = [];
      return {
        ...sound,
        open: async (options) => {
          const whole = await sound.open(options);
          opened.push(whole);
          return overlay(whole, {
            close: async () => {
              for (const one of opened) await one.close();
            },
          });
        },
      };
    },
    red: 'two devices at once',
  },
  {
    broken: 'the same array is handed out twice',
    target: device({
      region: (region) => {
        let kept: TreeRoot | null = null;
        return {
          root: async (options) => {
            kept ??= await region.root(options);
            return kept;
          },
        };
      },
    }),
    red: 'answers belong to the caller',
  },
  {
    broken: 'uploads are not counted',
    target: device({ device: (whole) => ({ stats: () => ({ ...whole.stats(), uploadedBytes: 0 }) }) }),
    red: 'uploaded bytes are counted',
  },
  {
    broken: 'the readback path is not counted',
    target: device({ device: (whole) => ({ stats: () => ({ ...whole.stats(), readbackBytes: 0 }) }) }),
    red: 'the readback path counts',
  },
  {
    broken: 'reads begin at even offsets',
    target: device({
      region: (region) => ({ read: (offset, length) => region.read(offset - (offset % 2), length) }),
    }),
    red: 'reads at odd offsets',
  },
  {
    broken: 'nodes forgets where to begin (random sequences)',
    target: device({
      region: (region) => ({
        nodes: (level, _first, count, options) => region.nodes(level, 0, count, options),
      }),
    }),
    red: 'random sequence 8',
  },
  {
    broken: 'zero-length reads bring a byte',
    target: device({
      region: (region) => ({ read: (offset, length) => region.read(Math.min(offset, 1), length || 1) }),
    }),
    red: 'ranges of no bytes',
  },
  {
    broken: 'released regions stay in the accounting',
    target: device({
      device: (whole) => {
        let most = 0;
        return {
          stats: () => {
            const stats = whole.stats();
            most = Math.max(most, stats.liveBytes);
            return { ...stats, liveBytes: most };
          },
        };
      },
    }),
    red: 'accounting: live regions and bytes',
  },
  {
    broken: 'new memory is not zero',
    target: device({
      device: (whole) => ({
        allocate: async (byteLength) => {
          const region = await whole.allocate(byteLength);
          await region.write(byteLength - 1, Uint8Array.of(1));
          return region;
        },
      }),
    }),
    red: 'data that was never written is zeros',
  },
  {
    broken: 'a size of zero is taken for one',
    target: device({ device: (whole) => ({ allocate: (byteLength) => whole.allocate(byteLength || 1) }) }),
    red: 'sizes that are not positive integers',
  },
  {
    broken: 'out of memory comes without a type',
    target: () => ({
      ...sound,
      openOutOfMemory: async () => {
        const whole = await sound.open();
        return {
          device: overlay(whole, { allocate: () => Promise.reject(new RangeError('out of memory')) }),
          byteLength: 1,
        };
      },
    }),
    red: 'out of memory is refused by type',
  },
  {
    broken: 'runs at once share their answer',
    target: device({
      device: (whole) => {
        let running: Promise<TreeRoot> | null = null;
        return {
          allocate: async (byteLength) => {
            const region = await whole.allocate(byteLength);
            const own = region.root.bind(region);
            region.root = (options) => {
              running ??= own(options).finally(() => {
                running = null;
              });
              return running;
            };
            return region;
          },
        };
      },
    }),
    red: 'root, nodes and read of two regions at once',
  },
  {
    broken: 'the abort signal is not looked at',
    target: device({ region: (region) => ({ root: () => region.root() }) }),
    red: 'an aborted run is refused',
  },
  {
    broken: 'close says that the device was lost',
    target: device({
      device: (whole) => ({ lost: whole.lost.then((lost) => ({ ...lost, reason: 'lost' })) }),
    }),
    red: 'lost says closed',
  },
  {
    broken: 'capacity is invented',
    target: device({
      device: () => ({ capacity: async () => ({ totalBytes: 8e9, freeBytes: 4e9, source: 'none' }) }),
    }),
    red: 'never invented',
  },
  {
    broken: 'every device has a fault port',
    target: () => {
      const { open } = sound;
      return { ...sound, open: (options) => open({ ...options, drills: true }) };
    },
    red: 'opened without drills',
  },
  {
    broken: 'a region is left behind by open',
    target: () => {
      const { open } = sound;
      return {
        ...sound,
        open: async (options) => {
          const whole = await open(options);
          await whole.allocate(4096);
          return whole;
        },
      };
    },
    red: 'gives the known answers again',
  },
  {
    broken: 'windows are not checked at open',
    target: () => {
      const { open } = sound;
      return { ...sound, open: () => open() };
    },
    red: 'windowBytes: everything but',
  },
  {
    broken: 'a write ends at the cut behind its beginning',
    target: device({
      device: (whole) => ({
        allocate: async (byteLength, options) => {
          const region = await whole.allocate(byteLength, options);
          return overlay(region, {
            write: async (offset, bytes) => {
              const next = options?.cuts?.find((cut) => cut > offset) ?? byteLength;
              await region.write(offset, bytes.subarray(0, next - offset));
            },
          });
        },
      }),
    }),
    red: 'cuts change neither the bytes nor the tree',
  },
  {
    broken: 'the blocks of the last buffer are not hashed',
    target: device({
      device: (whole) => ({
        allocate: async (byteLength, options) => {
          const region = await whole.allocate(byteLength, options);
          const last = (options?.cuts?.at(-1) ?? 0) / 4096;
          return overlay(region, {
            nodes: async (level, first, count, run) => {
              const nodes = await region.nodes(level, first, count, run);
              return level === 0 && last > 0 ? nodes.fill(0, (last - first) * 32) : nodes;
            },
          });
        },
      }),
    }),
    red: 'cuts change neither the bytes nor the tree',
  },
  {
    broken: 'cuts are not looked at',
    target: device({ device: (whole) => ({ allocate: (byteLength) => whole.allocate(byteLength) }) }),
    red: 'cuts that are not ascending multiples',
  },
  {
    broken: 'a region takes as many cuts as it has groups',
    target: device({
      device: (whole) => ({
        allocate: async (byteLength, options) => {
          if ((options?.cuts?.length ?? 0) > byteLength / 524_288) {
            throw new VramError('INVALID_INPUT', 'cuts has too many entries');
          }
          return await whole.allocate(byteLength, options);
        },
      }),
    }),
    red: 'where cuts make none, any number is taken',
  },
  {
    broken: 'a patch of the block behind a cut lands before it',
    target: device({
      device: (whole) => ({
        allocate: async (byteLength, options) => {
          const region = await whole.allocate(byteLength, options);
          return overlay(region, {
            patch: (block, bytes) =>
              region.patch(
                options?.cuts?.includes(block * 4096) === true && block > 0 ? block - 1 : block,
                bytes,
              ),
          });
        },
      }),
    }),
    red: 'on both sides of a cut',
  },
  {
    broken: 'cuts are read after the call',
    target: device({
      device: (whole) => ({
        allocate: async (byteLength, options) => {
          await Promise.resolve();
          return await whole.allocate(byteLength, options);
        },
      }),
    }),
    red: 'cuts are read once',
  },
  {
    broken: 'the device cannot be seen to be lost',
    target: () => ({
      ...sound,
      openLosable: async () => {
        const { device: whole, lose } = (await sound.openLosable?.()) ?? {
          device: await sound.open(),
          lose: null,
        };
        const twin = await sound.open();
        return { device: overlay(twin, { lost: whole.lost }), lose: lose ?? close };
      },
    }),
    red: 'a lost device refuses',
  },
];

async function close(): Promise<void> {
  // Nothing to lose: the case must already be red.
}

describe('the contract suite finds broken devices', () => {
  for (const mutation of mutations) {
    it(`${mutation.broken}: "${mutation.red}" goes red`, async () => {
      const got = await outcomes(mutation.target(), mutation.red);
      expect(got).toEqual(got.map(() => 'failed'));
    });
  }

  it('and every case named above is green on the sound device', async () => {
    const parts = new Set(mutations.map((mutation) => mutation.red));
    for (const part of parts) {
      const got = await outcomes(sound, part);
      expect(got, part).toEqual(got.map(() => 'passed'));
    }
  });
});
