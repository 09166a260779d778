import { describe, expect, it } from 'vitest';
import type { VerificationReport } from '../../../../src/base/reports.js';
import type { DrillPattern, DrillReport } from '../../../../src/manager/index.js';
import { bytesSource } from '../../../../src/source/index.js';
import { stride } from '../../../support/stride.js';
import { failure, openHost, overlay, pattern, Recorder, regionsOf } from '../fixture.js';

const BLOCK = 4096;

const blocksOf = (report: VerificationReport): number[] =>
  report.damaged.flatMap(({ firstBlock, blocks }) =>
    Array.from({ length: blocks }, (_, index) => firstBlock + index),
  );

const damagedBlocks = (error: { report?: unknown }): number[] => blocksOf(error.report as VerificationReport);

const bitsOf = ({ flips }: DrillReport): number[] => flips.map(({ byte, bit }) => byte * 8 + bit);

/** A shard with leaves kept, so that blocks are named exactly. */
async function sealed(bytes: Uint8Array, options: Parameters<typeof openHost>[0] = {}) {
  const opened = await openHost({ ...options, options: { keep: 'leaves', ...options.options } });
  const source = bytesSource(bytes);
  return { ...opened, source, shard: await opened.manager.seal(source) };
}

describe('drill', () => {
  it('is refused unless the manager was opened for it, and so is a device that was not', async () => {
    const { manager, shard } = await sealed(pattern(5000), { options: { drills: false } });
    expect(await failure(manager.drill(shard))).toMatchObject({ code: 'INVALID_INPUT', argument: 'drills' });
    expect(await manager.verify(shard)).toMatchObject({ verified: true });
    await manager.close();
    const bare = await sealed(pattern(5000), {
      wrap: (device) =>
        overlay(device, {
          allocate: async (byteLength: number) =>
            overlay(await device.allocate(byteLength), { faults: null }),
        }),
    });
    expect(await failure(bare.manager.drill(bare.shard))).toMatchObject({ argument: 'device' });
    await bare.manager.close();
  });

  it('flips one bit, names it, and is found there and nowhere else', async () => {
    const { manager, shard, source } = await sealed(pattern(300_000));
    const report = await manager.drill(shard, { seed: 1 });
    expect(report).toMatchObject({ shardId: shard.shardId, sealId: shard.sealId, seed: 1 });
    expect(report.flips).toHaveLength(1);
    const error = await failure(manager.verify(shard));
    expect(error.code).toBe('INTEGRITY_VIOLATION');
    expect(damagedBlocks(error)).toEqual(report.blocks);
    expect(report.blocks).toEqual([Math.floor((report.flips[0]?.byte ?? -1) / BLOCK)]);
    expect(await manager.heal(shard, source)).toMatchObject({ healedBlocks: 1 });
    await manager.close();
  });

  it('does the same again for the same seed, and something else for another or none', async () => {
    const bits: number[][] = [];
    for (const seed of [9, 9, 10, undefined, undefined]) {
      const { manager, shard } = await sealed(pattern(1_000_000));
      const report = await manager.drill(shard, { flips: 20, ...(seed === undefined ? {} : { seed }) });
      bits.push(bitsOf(report));
      await manager.close();
    }
    expect(bits[1]).toEqual(bits[0]);
    expect(new Set(bits.map((drawn) => drawn.join())).size).toBe(4);
  });

  it('keeps its choice from release to release', async () => {
    const { manager, shard } = await sealed(pattern(1_000_000));
    const { flips } = await manager.drill(shard, { flips: 3, seed: 1 });
    expect(flips).toMatchInlineSnapshot(`
      [
        {
          "bit": 1,
          "byte": 942197,
        },
        {
          "bit": 0,
          "byte": 575305,
        },
        {
          "bit": 7,
          "byte": 258269,
        },
      ]
    `);
    await manager.close();
  });

  it('tells of each flip before any of it, and flips nothing that is not on record', async () => {
    const recorder = new Recorder(true);
    const { wrap, regions } = regionsOf();
    const { manager, shard } = await sealed(pattern(50_000), {
      recorder,
      wrap: (device) => wrap(device),
    });
    const region = regions[0];
    if (region === undefined) throw new Error('no region');
    const before = await region.read(0, 50_000);
    let seen = 0;
    recorder.refuse = (event) => event.type === 'drill.injected' && ++seen === 3;
    expect(await failure(manager.drill(shard, { flips: 5, seed: 4 }))).toMatchObject({
      code: 'AUDIT_FAILED',
    });
    expect(await region.read(0, 50_000)).toEqual(before);
    recorder.refuse = (event) => event.type === 'operation.started';
    expect(await failure(manager.drill(shard, { seed: 4 }))).toMatchObject({ code: 'AUDIT_FAILED' });
    expect(await region.read(0, 50_000)).toEqual(before);
    recorder.refuse = () => false;
    recorder.events.length = 0;
    const report = await manager.drill(shard, { flips: 5, seed: 4 });
    expect(recorder.of('drill.injected').map(({ sealId, byte, bit }) => ({ sealId, byte, bit }))).toEqual(
      report.flips.map((flip) => ({ sealId: shard.sealId, ...flip })),
    );
    const after = await region.read(0, 50_000);
    for (const { byte, bit } of report.flips) before[byte] = (before[byte] ?? 0) ^ (1 << bit);
    expect(after).toEqual(before);
    await manager.close();
  });

  it('holds the shard alone', async () => {
    const { manager, shard } = await sealed(pattern(20_000));
    const order: string[] = [];
    let endLease: () => void = () => undefined;
    const leased = manager.execute(shard, async () => {
      await new Promise<void>((resolve) => {
        endLease = resolve;
      });
      order.push('lease ended');
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    const drilled = manager.drill(shard, { seed: 2 }).then(() => order.push('drilled'));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(order).toEqual([]);
    endLease();
    await Promise.all([leased, drilled]);
    expect(order).toEqual(['lease ended', 'drilled']);
    await manager.close();
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['no flips', { flips: 0 }, 'flips'],
    ['half a flip', { flips: 1.5 }, 'flips'],
    ['NaN flips', { flips: Number.NaN }, 'flips'],
    ['endless flips', { flips: Number.POSITIVE_INFINITY }, 'flips'],
    ['a million and one flips', { flips: 1_000_001 }, 'flips'],
    ['a negative seed', { seed: -1 }, 'seed'],
    ['a seed beyond 2^53', { seed: 2 ** 53 }, 'seed'],
    ['an unknown pattern', { patterns: ['stripe'] }, 'patterns'],
    ['no pattern', { patterns: [] }, 'patterns'],
    ['patterns as text', { patterns: 'bit' }, 'patterns'],
    ['an unknown area', { area: 'everywhere' }, 'area'],
    ['more bits than there are', { flips: 200 * 8 + 1 }, 'flips'],
    ['more blocks than there are', { flips: 2, patterns: ['block'] }, 'flips'],
    ['a pair in the padding', { area: 'padding', patterns: ['pair'] }, 'patterns'],
  ])('refuses %s, and flips nothing', async (_what, options, argument) => {
    const { manager, shard } = await sealed(pattern(200));
    expect(await failure(manager.drill(shard, options))).toMatchObject({ code: 'INVALID_INPUT', argument });
    expect(await manager.verify(shard)).toMatchObject({ verified: true });
    await manager.close();
  });

  it('refuses the padding of a shard that has none, and pairs where all bytes are alike', async () => {
    const { manager, shard } = await sealed(new Uint8Array(BLOCK));
    expect(await failure(manager.drill(shard, { area: 'padding' }))).toMatchObject({ argument: 'area' });
    expect(await failure(manager.drill(shard, { patterns: ['pair'] }))).toMatchObject({
      argument: 'patterns',
    });
    expect(await manager.verify(shard)).toMatchObject({ verified: true });
    await manager.close();
  });

  it('changes nothing for a forged handle, a released shard, an aborted call', async () => {
    const { manager, shard, recorder } = await sealed(pattern(200));
    const forged = { ...shard.toJSON(), byteLength: 100 };
    expect(await failure(manager.drill(forged))).toMatchObject({ code: 'SEAL_VERIFICATION_FAILED' });
    const gone = AbortSignal.abort();
    expect(await failure(manager.drill(shard, { signal: gone }))).toMatchObject({ code: 'ABORTED' });
    expect(await manager.verify(shard)).toMatchObject({ verified: true });
    await manager.release(shard);
    expect(await failure(manager.drill(shard))).toMatchObject({ code: 'NOT_FOUND' });
    expect(recorder.of('drill.injected')).toEqual([]);
    await manager.close();
  });
});

describe('patterns', () => {
  const cases: [DrillPattern, (bits: number[]) => void][] = [
    ['bit', (bits) => expect(bits).toHaveLength(1)],
    [
      'neighbours',
      (bits) => {
        expect(bits.length).toBeGreaterThanOrEqual(2);
        expect(bits.length).toBeLessThanOrEqual(8);
        expect(bits.every((bit, index) => index === 0 || bit === (bits[index - 1] ?? 0) + 1)).toBe(true);
      },
    ],
    [
      'word',
      (bits) => {
        expect(bits).toHaveLength(32);
        expect((bits[0] ?? 1) % 32).toBe(0);
      },
    ],
    [
      'block',
      (bits) => {
        expect(bits).toHaveLength(BLOCK * 8);
        expect((bits[0] ?? 1) % (BLOCK * 8)).toBe(0);
      },
    ],
    ['pair', (bits) => expect(bits).toHaveLength(2)],
  ];

  it.each(cases)('%s: as described, found block by block, healed', async (name, expectation) => {
    const bytes = pattern(40 * BLOCK);
    const { wrap, regions } = regionsOf();
    const { manager, shard, source } = await sealed(bytes, { wrap });
    for (let seed = 0; seed < (name === 'block' ? 3 : 12); seed += stride(6)) {
      const report = await manager.drill(shard, { seed, patterns: [name] });
      expectation(bitsOf(report));
      const resident = (await regions[0]?.read(0, bytes.length)) ?? new Uint8Array();
      expect(resident).not.toEqual(bytes);
      if (name === 'pair') {
        const sum = (of: Uint8Array): number => new Uint32Array(of.buffer).reduce((a, b) => (a + b) | 0, 0);
        const xor = (of: Uint8Array): number => new Uint32Array(of.buffer).reduce((a, b) => a ^ b, 0);
        expect([sum(resident.slice()), xor(resident.slice())]).toEqual([sum(bytes), xor(bytes)]);
        expect(resident.reduce((a, b) => a + b, 0)).toBe(bytes.reduce((a, b) => a + b, 0));
      }
      expect(damagedBlocks(await failure(manager.verify(shard)))).toEqual(report.blocks);
      expect(await manager.heal(shard, source)).toMatchObject({ healedBlocks: report.blocks.length });
    }
    await manager.close();
  });

  it.each(cases.map(([name]) => name))(
    '%s: fits into the smallest shards or says that it does not',
    async (name) => {
      for (const byteLength of [1, 2, 5, BLOCK, BLOCK + 1]) {
        const { manager, shard } = await sealed(pattern(byteLength));
        for (let seed = 0; seed < (name === 'block' ? 2 : 8); seed += stride(4)) {
          try {
            const report = await manager.drill(shard, { seed, patterns: [name] });
            expect(bitsOf(report).every((bit) => bit >= 0 && bit < byteLength * 8)).toBe(true);
            expect(damagedBlocks(await failure(manager.verify(shard)))).toEqual(report.blocks);
            await manager.heal(shard, bytesSource(pattern(byteLength)));
          } catch (error) {
            if (name !== 'pair') throw error;
            expect(error).toMatchObject({ code: 'INVALID_INPUT' });
          }
        }
        await manager.close();
      }
    },
  );

  it('pairs do not undo each other', async () => {
    const bytes = pattern(48);
    const { wrap, regions } = regionsOf();
    const { manager, shard } = await sealed(bytes, { wrap });
    const report = await manager.drill(shard, { flips: 60, seed: 3, patterns: ['pair'] });
    expect(new Set(bitsOf(report)).size).toBe(120);
    const resident = (await regions[0]?.read(0, 48)) ?? new Uint8Array();
    for (const { byte, bit } of report.flips) bytes[byte] = (bytes[byte] ?? 0) ^ (1 << bit);
    expect(resident).toEqual(bytes);
    await manager.close();
  });

  it('reaches the first and last bit, and all of the padding', async () => {
    const { manager, shard } = await sealed(pattern(1));
    const { flips } = await manager.drill(shard, { flips: 8 });
    expect(flips.map(({ byte, bit }) => `${byte}.${bit}`).sort()).toEqual(
      Array.from({ length: 8 }, (_, bit) => `0.${bit}`),
    );
    const padding = await manager.drill(shard, { flips: (BLOCK - 1) * 8, area: 'padding' });
    expect(new Set(bitsOf(padding)).size).toBe((BLOCK - 1) * 8);
    expect(Math.min(...bitsOf(padding))).toBe(8);
    expect(Math.max(...bitsOf(padding))).toBe(BLOCK * 8 - 1);
    await manager.close();
  });
});
