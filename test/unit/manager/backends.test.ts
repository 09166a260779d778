import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { VerificationReport } from '../../../src/base/reports.js';
import type { FaultPort } from '../../../src/device/index.js';
import { VramManager } from '../../../src/manager/index.js';
import { bytesSource } from '../../../src/source/index.js';
import { presentBackends } from '../../support/backends.js';
import { failure, pattern, platform, Recorder, wrapRegions } from './fixture.js';

const backends = await presentBackends();
const MIB = 2 ** 20;
const SIZES = [1, 4097, 524_289, MIB + 1];

describe.each(backends)('manager on $name', ({ target, missing }) => {
  it.skipIf(target === null)(
    `[CI-008] seals, verifies, finds damage and releases${missing === null ? '' : ` (SKIPPED: ${missing})`}`,
    async () => {
      if (target === null) return;
      const opened = await target.open({ drills: true });
      const faults: FaultPort[] = [];
      const device = wrapRegions(opened, (region) => {
        if (region.faults !== null) faults.push(region.faults);
        return region;
      });
      const recorder = new Recorder(true);
      const manager = await VramManager.open(
        { device, workerId: 'w', policy: 'any', keep: 'leaves', observers: [recorder] },
        platform(),
      );
      try {
        for (const byteLength of SIZES) {
          const bytes = pattern(byteLength);
          const shard = await manager.seal(bytesSource(bytes));
          expect(shard.sha256).toBe(createHash('sha256').update(bytes).digest('hex'));
          const before = opened.stats().readbackBytes;
          await manager.verify(shard);
          // In place: the root, its count and its canary come back, never the weights (CI-010).
          expect(opened.stats().readbackBytes - before).toBeLessThanOrEqual(256);
          await manager.verify(shard, { mode: 'readback' });
          expect(opened.stats().readbackBytes - before).toBeGreaterThanOrEqual(byteLength);
          const at = byteLength - 1;
          await faults.at(-1)?.flip(at, 0x40);
          const error = await failure(manager.verify(shard));
          expect(error.code).toBe('INTEGRITY_VIOLATION');
          const block = Math.floor(at / 4096);
          expect((error.report as VerificationReport).damaged).toEqual([
            { firstBlock: block, blocks: 1, byteOffset: block * 4096, byteLength: byteLength - block * 4096 },
          ]);
          await faults.at(-1)?.flip(at, 0x40);
          expect(await manager.verify(shard)).toMatchObject({ verified: true });
          expect(await manager.release(shard)).toMatchObject({ released: true, wiped: true });
        }
        expect(opened.stats().liveBytes).toBe(0);
        expect((await manager.capacity()).usedBytes).toBe(0);
        expect(recorder.of('vram.sealed')).toHaveLength(SIZES.length);
      } finally {
        await manager.close();
        await opened.close();
      }
    },
  );
});
