import { describe, expect, it } from 'vitest';
import type { VerificationReport } from '../../../../src/base/reports.js';
import { type DrillArea, type DrillPattern, VramManager } from '../../../../src/manager/index.js';
import { bytesSource } from '../../../../src/source/index.js';
import { presentBackends } from '../../../support/backends.js';
import { failure, pattern, platform } from '../fixture.js';

const BLOCK = 4096;
const damagedBlocks = ({ report }: { report?: unknown }): number[] =>
  (report as VerificationReport).damaged.flatMap(({ firstBlock, blocks }) =>
    Array.from({ length: blocks }, (_, index) => firstBlock + index),
  );

describe.each(await presentBackends())('drill on $name', ({ target, missing }) => {
  it.skipIf(target === null)(
    `[MS-009] every pattern in data and padding is found, healed, found ` +
      `again${missing === null ? '' : ` (SKIPPED: ${missing})`}`,
    async () => {
      if (target === null) return;
      const device = await target.open({ drills: true });
      for (const keep of ['leaves', 'groups'] as const) {
        const manager = await VramManager.open(
          { device, workerId: 'w', policy: 'any', keep, drills: true },
          platform(),
        );
        const byteLength = 524_288 + 2 * BLOCK + 77;
        const source = bytesSource(pattern(byteLength));
        const shard = await manager.seal(source);
        const struck: [DrillPattern[], DrillArea][] = [
          [['bit', 'neighbours', 'word', 'pair'], 'data'],
          [['bit', 'word'], 'padding'],
          // A strike is 4096 flips, each of which SwiftShader takes milliseconds for.
          ...(keep === 'leaves' && !target.name.includes('swiftshader')
            ? [[['block'], 'both'] satisfies [DrillPattern[], DrillArea]]
            : []),
        ];
        for (const [patterns, area] of struck) {
          const report = await manager.drill(shard, { seed: 5, flips: patterns.length, patterns, area });
          if (area === 'padding') expect(report.flips.every(({ byte }) => byte >= byteLength)).toBe(true);
          const error = await failure(manager.verify(shard, { source }));
          expect(error.code).toBe('INTEGRITY_VIOLATION');
          expect(damagedBlocks(error)).toEqual(report.blocks);
          const healed = await manager.heal(shard, source);
          expect(healed.healedBlocks).toBe(report.blocks.length);
          expect(await manager.verify(shard)).toMatchObject({ verified: true });
          expect(await manager.verify(shard, { mode: 'readback' })).toMatchObject({ verified: true });
        }
        await manager.close();
      }
      await device.close();
    },
  );
});
