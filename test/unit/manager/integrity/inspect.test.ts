import { describe, expect, it } from 'vitest';
import { bytesSource } from '../../../../src/source/index.js';
import { failure, openHost, overlay, pattern, wrapRegions } from '../fixture.js';

const bytes = pattern(10_000);

describe('looks', () => {
  it('tell and report what they do: in place, by readback, by sample', async () => {
    const { manager, recorder } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    const looks: unknown[] = [];
    for (const options of [{}, { mode: 'readback' }, { mode: 'sampled', groups: 5 }] as const) {
      recorder.events.length = 0;
      const progress: unknown[] = [];
      const report = await manager.verify(shard, { ...options, onProgress: (one) => progress.push(one) });
      const stages = recorder.of('operation.stage').map(({ stage, byteLength }) => [stage, byteLength]);
      looks.push([report.mode, report.actual === shard.fsverity, report.sample, progress, stages]);
    }
    const whole = { bytes: 10_000, totalBytes: 10_000 };
    const sample = { groups: 1, totalGroups: 1, chanceOfMiss: [{ damagedGroups: 1, chance: 0 }] };
    expect(looks).toEqual([
      ['resident', true, null, [{ phase: 'verify', ...whole }], [['device-tree', 10_000]]],
      ['readback', true, null, [{ phase: 'readback', ...whole }], [['readback', 10_000]]],
      ['sampled', false, sample, [{ phase: 'verify', ...whole }], [['device-tree', null]]],
    ]);
    await manager.close();
  });

  it('by sample are told how many, and by other modes are not', async () => {
    const { manager } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    for (const [options, message] of [
      [{ groups: 1 }, '"groups" requires mode "sampled"'],
      [{ groups: 1, mode: 'readback' }, '"groups" requires mode "sampled"'],
      [{ mode: 'sampled' }, '"groups" must be an integer of at least 1, got undefined'],
      [{ mode: 'sampled', groups: 0 }, '"groups" must be an integer of at least 1, got 0'],
      [{ mode: 'fast' }, '"mode" must be one of resident, readback, sampled, got string'],
    ] as const) {
      const given = JSON.parse(JSON.stringify(options));
      expect(await failure(manager.verify(shard, given))).toMatchObject({ code: 'INVALID_INPUT', message });
    }
    await manager.close();
  });

  it('[CI-010] by sample that differ once are looked at again: transient, not damaged', async () => {
    let lies = 0;
    const { manager } = await openHost({
      wrap: (device) =>
        wrapRegions(device, (region) =>
          overlay(region, {
            nodes: async (...args: Parameters<typeof region.nodes>) => {
              const nodes = await region.nodes(...args);
              if (lies-- > 0) nodes[0] = (nodes[0] ?? 0) ^ 1;
              return nodes;
            },
          }),
        ),
    });
    const shard = await manager.seal(bytesSource(bytes));
    lies = 1;
    const options = { mode: 'sampled', groups: 1 } as const;
    expect(await failure(manager.verify(shard, options))).toMatchObject({
      code: 'DEVICE_UNAVAILABLE',
      report: { transient: true, verified: false, actual: null, mode: 'sampled' },
    });
    expect(manager.status().quarantined).toEqual([]);
    lies = 2;
    expect(await failure(manager.verify(shard, options))).toMatchObject({
      code: 'INTEGRITY_VIOLATION',
      report: { transient: false, verified: false, actual: null },
    });
    await manager.close();
  });
});
