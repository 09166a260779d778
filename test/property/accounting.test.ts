import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isVramError, VramError } from '../../src/base/errors.js';
import type { SealedShard } from '../../src/seal/index.js';
import { bytesSource } from '../../src/source/index.js';
import { propertyRuns } from '../support/property-runs.js';
import { openHost, overlay, pattern } from '../unit/manager/fixture.js';

const BUDGET_BLOCKS = 12;
const FAULTS = ['none', 'allocate', 'write', 'freeze', 'root', 'source', 'expected', 'id'] as const;
type Fault = (typeof FAULTS)[number];

const step = fc.oneof(
  fc.record({
    kind: fc.constant('seal' as const),
    byteLength: fc.integer({ min: 1, max: 20_000 }),
    fault: fc.oneof(
      { weight: 3, arbitrary: fc.constant('none' as const) },
      { weight: 2, arbitrary: fc.constantFrom(...FAULTS) },
    ),
    together: fc.integer({ min: 1, max: 3 }),
  }),
  fc.record({ kind: fc.constant('release' as const), which: fc.nat(), twice: fc.boolean() }),
  fc.record({ kind: fc.constant('verify' as const), which: fc.nat() }),
);

function injected(): never {
  throw new VramError('DEVICE_UNAVAILABLE', 'injected');
}

describe('[RP-002] [RP-001] accounting', () => {
  it('is the sum of the live shards after any successes, failures and releases, and never above the budget', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 14 }), async (steps) => {
        let fault: Fault = 'none';
        const opened = await openHost({
          options: { budgetBytes: 111_424 + BUDGET_BLOCKS * 4096 },
          wrap: (device) =>
            overlay(device, {
              allocate: async (byteLength: number) => {
                if (fault === 'allocate') throw new VramError('ALLOCATION_FAILED', 'injected');
                const region = await device.allocate(byteLength);
                return overlay(region, {
                  write: (offset: number, bytes: Uint8Array) =>
                    fault === 'write' ? injected() : region.write(offset, bytes),
                  freeze: () => (fault === 'freeze' ? injected() : region.freeze()),
                  root: (options: object) => (fault === 'root' ? injected() : region.root(options)),
                });
              },
            }),
        });
        const { manager, device } = opened;
        const { scratchBytes } = await manager.capacity();
        const live: SealedShard[] = [];
        const check = async (): Promise<void> => {
          const sum = live.reduce((total, shard) => total + device.allocationBytes(shard.byteLength), 0);
          const { totalBytes, usedBytes, availableBytes } = await manager.capacity();
          expect(usedBytes).toBe(sum);
          expect(device.stats().liveBytes).toBe(sum);
          expect(manager.status().liveShards).toBe(live.length);
          expect(totalBytes).toBe((availableBytes ?? 0) + usedBytes + scratchBytes);
          expect(availableBytes).toBeGreaterThanOrEqual(0);
        };
        try {
          for (const [index, each] of steps.entries()) {
            if (each.kind === 'seal') {
              fault = each.fault;
              const bytes = pattern(each.byteLength, index + 1);
              const source = bytesSource(bytes);
              const results = await Promise.allSettled(
                Array.from({ length: each.together }, (_, copy) =>
                  manager.seal(
                    fault === 'source' ? { ...source, unchanged: async () => injected() } : source,
                    {
                      shardId: fault === 'id' ? '' : `s-${index}-${copy}`,
                      ...(fault === 'expected' ? { expected: `sha256:${'0'.repeat(64)}` } : {}),
                    },
                  ),
                ),
              );
              fault = 'none';
              for (const result of results) {
                if (result.status === 'fulfilled') live.push(result.value);
                else if (!isVramError(result.reason)) throw result.reason;
              }
            } else if (live.length > 0) {
              const at = each.which % live.length;
              const shard = live[at];
              if (shard === undefined) continue;
              if (each.kind === 'verify') await manager.verify(shard);
              else {
                await Promise.all([manager.release(shard), ...(each.twice ? [manager.release(shard)] : [])]);
                live.splice(at, 1);
              }
            }
            await check();
          }
        } finally {
          await manager.close();
          expect(device.stats()).toMatchObject({ liveRegions: 0, liveBytes: 0 });
          await device.close();
        }
      }),
      { numRuns: propertyRuns(60) },
    );
  });
});
