import { describe, expect, it } from 'vitest';
import { isVramError } from '../../src/base/errors.js';
import type { VerificationReport } from '../../src/base/reports.js';
import type { FaultPort } from '../../src/device/index.js';
import { VramManager } from '../../src/manager/index.js';
import { bytesSource } from '../../src/source/index.js';
import { presentBackends } from '../support/backends.js';
import { pattern, platform, wrapRegions } from '../unit/manager/fixture.js';

const backends = await presentBackends();
const BLOCK = 4096;
/** Together 10,000 and more where all backends are present; an interpreter of PTX hashes 2 MB in a second. */
const FLIPS: Readonly<Record<string, number>> = { host: 4000, webgpu: 1000, cuda: 1000 };
const LARGEST: Readonly<Record<string, number>> = { host: 4 * 2 ** 20, webgpu: 4 * 2 ** 20, cuda: 64 * 1024 };
const FLIPS_PER_SHARD = 40;

/** Repeatable random integers below a bound (xorshift32). */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

describe.each(backends)('random flips on $name', ({ target, missing }) => {
  it.skipIf(target === null)(
    `every one is found and named, and no clean verification raises an ` +
      `alarm${missing === null ? '' : ` (SKIPPED: ${missing})`}`,
    async () => {
      if (target === null) return;
      const device = await target.open({ drills: true });
      const { backend } = device.info;
      const faults: FaultPort[] = [];
      const manager = await VramManager.open(
        {
          device: wrapRegions(device, (region) => {
            if (region.faults !== null) faults.push(region.faults);
            return region;
          }),
          workerId: 'flips',
          policy: 'any',
          keep: 'leaves',
        },
        platform(),
      );
      const next = random(0x9e3779b9);
      const requested = FLIPS[backend] ?? 1000;
      const largest = Math.min(target.maxBytes ?? Number.POSITIVE_INFINITY, LARGEST[backend] ?? 2 ** 20);
      let found = 0;
      let clean = 0;
      for (let shardNumber = 0; found < requested; shardNumber++) {
        // Sizes spread over magnitudes, with the largest and the smallest among them.
        const magnitude = next(Math.floor(Math.log2(largest)) + 1);
        const byteLength =
          shardNumber === 0
            ? largest
            : shardNumber === 1
              ? 1
              : Math.min(2 ** magnitude + next(2 ** magnitude), largest);
        const shard = await manager.seal(bytesSource(pattern(byteLength, shardNumber + 1)));
        const port = faults.at(-1);
        if (port === undefined) throw new Error('no fault port');
        const padded = Math.ceil(byteLength / BLOCK) * BLOCK;
        const flips = byteLength === largest ? 10 : FLIPS_PER_SHARD;
        for (let flip = 0; flip < flips && found < requested; flip++) {
          // First byte, last byte and last byte of the padding are always among them.
          const byte = [0, byteLength - 1, padded - 1][flip] ?? next(padded);
          const mask = 1 << next(8);
          await port.flip(byte, mask);
          let report: VerificationReport | undefined;
          try {
            await manager.verify(shard);
          } catch (error) {
            if (isVramError(error, 'INTEGRITY_VIOLATION')) report = error.report as VerificationReport;
            else throw error;
          }
          expect(report?.damaged, `byte ${byte} of ${byteLength}, mask ${mask}`).toMatchObject([
            { firstBlock: Math.floor(byte / BLOCK), blocks: 1 },
          ]);
          found++;
          await port.flip(byte, mask);
          expect(await manager.verify(shard)).toMatchObject({ verified: true });
          clean++;
        }
        await manager.release(shard);
      }
      console.log(`${target.name}: ${found} flips found, ${clean} clean verifications without alarm`);
      await manager.close();
      await device.close();
      expect(found).toBe(requested);
    },
    1_200_000,
  );
});
