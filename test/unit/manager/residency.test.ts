import { describe, expect, it } from 'vitest';
import { bytesSource } from '../../../src/source/index.js';
import { DISCRETE, failure, openHost, overlay, pattern, Recorder, regionsOf } from './fixture.js';

describe('residency', () => {
  it('[VP-001] from seal to release the region holds all weights, and nothing depends on the caller’s copy', async () => {
    const seen = regionsOf();
    const { manager, device } = await openHost({
      wrap: (inner) => overlay(seen.wrap(inner), { info: { ...inner.info, facts: DISCRETE } }),
      options: { policy: 'vram-only' },
    });
    const bytes = pattern(300_001);
    const expected = bytes.slice();
    const shard = await manager.seal(bytesSource(bytes));
    bytes.fill(0);
    expect(shard.residency).toBe('device-local');
    const [region] = seen.regions;
    expect(region?.byteLength).toBe(expected.length);
    expect(region?.allocatedBytes).toBeGreaterThanOrEqual(expected.length);
    expect(await region?.read(0, expected.length)).toEqual(expected);
    // It is these bytes that are verified and lent, and no others.
    await manager.verify(shard);
    await manager.verify(shard, { mode: 'readback' });
    const lent = await manager.execute(shard, async (lease) =>
      lease.kind === 'host' ? await lease.read(0, lease.byteLength) : null,
    );
    expect(lent).toEqual(expected);
    expect(device.stats().liveBytes).toBe(region?.allocatedBytes);
    await manager.release(shard);
    expect(device.stats().liveBytes).toBe(0);
    await manager.close();
  });

  it('[VP-007] the policy is checked at every allocation: a driver exchanged meanwhile is refused', async () => {
    const facts = { ...DISCRETE };
    const { manager, recorder, device } = await openHost({
      wrap: (inner) => overlay(inner, { info: { ...inner.info, facts } }),
      options: { policy: 'vram-only' },
    });
    await manager.seal(bytesSource(pattern(5000)));
    Object.assign(facts, { driverOverride: true });
    expect(await failure(manager.seal(bytesSource(pattern(5000))))).toMatchObject({
      code: 'POLICY_VIOLATION',
    });
    expect(recorder.of('policy.violation')).toMatchObject([
      { policy: 'vram-only', action: 'refused', operation: 'seal' },
    ]);
    expect(recorder.of('vram.allocated')).toHaveLength(1);
    expect(device.stats().liveRegions).toBe(1);
    await manager.close();
  });

  it('[VP-007] [AU-005] an audit failure does not mask that violation either: it is its cause', async () => {
    const facts = { ...DISCRETE };
    const recorder = new Recorder(true);
    const { manager } = await openHost({
      recorder,
      wrap: (inner) => overlay(inner, { info: { ...inner.info, facts } }),
      options: { policy: 'vram-only' },
    });
    Object.assign(facts, { driverOverride: true });
    recorder.refuse = (event) => event.type === 'policy.violation';
    expect(await failure(manager.seal(bytesSource(pattern(5000))))).toMatchObject({
      code: 'POLICY_VIOLATION',
      cause: { code: 'AUDIT_FAILED' },
    });
    await manager.close();
  });
});
