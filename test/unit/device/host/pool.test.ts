import { describe, expect, it } from 'vitest';
import { hostBackend } from '../../../../src/device/host/index.js';
import { HostPool } from '../../../../src/device/host/pool.js';
import { VramManager } from '../../../../src/manager/index.js';
import { nodeCrypto } from '../../../../src/node/crypto.js';
import { createNodeEngine } from '../../../../src/node/digest/index.js';
import { bytesSource } from '../../../../src/source/index.js';

const KIB = 1024;
const block = (mark: number, length = 4 * KIB) => new Uint8Array(length).fill(mark);

describe('HostPool', () => {
  it('gives the segment of a length that it keeps, once', () => {
    const pool = new HostPool(64 * KIB);
    const segment = block(0);
    pool.keep(segment);
    expect(pool.byteLength).toBe(4 * KIB);
    expect(pool.take(8 * KIB)).toBeUndefined();
    expect(pool.take(4 * KIB)).toBe(segment);
    expect(pool.take(4 * KIB)).toBeUndefined();
    expect(pool.byteLength).toBe(0);
  });

  it('never holds more than its limit: the oldest go, and what is larger is not kept', () => {
    const pool = new HostPool(16 * KIB);
    const segments = [1, 2, 3, 4, 5].map(() => block(0));
    for (const segment of segments) pool.keep(segment);
    expect(pool.byteLength).toBe(16 * KIB);
    pool.keep(block(0, 20 * KIB));
    expect(pool.byteLength).toBe(16 * KIB);
    const left = [1, 2, 3, 4].map(() => pool.take(4 * KIB));
    expect(left).toEqual(expect.arrayContaining(segments.slice(1)));
    expect(left).not.toContain(segments[0]);
  });

  it('keeps nothing with a limit of 0', () => {
    const pool = new HostPool(0);
    pool.keep(block(0));
    expect(pool.byteLength).toBe(0);
  });
});

describe('the host device with a pool', () => {
  it('keeps what was released and uses it again; close gives it up', async () => {
    const device = await hostBackend({ poolBytes: 64 * KIB }).open(0);
    const before = device.stats().pooledBytes;
    await (await device.allocate(20 * KIB)).release();
    expect(device.stats()).toMatchObject({ liveBytes: 0, pooledBytes: before + 20 * KIB });
    const region = await device.allocate(20 * KIB);
    expect(device.stats()).toMatchObject({ liveBytes: 20 * KIB, pooledBytes: before });
    await device.close();
    expect(device.stats().pooledBytes).toBe(0);
    await region.release();
  });

  it('keeps nothing that could not be wiped', async () => {
    let broken = false;
    const wipe = (segment: Uint8Array) => {
      if (broken) throw new Error('no');
      segment.fill(0);
    };
    const device = await hostBackend({ poolBytes: 64 * KIB, inject: { wipe } }).open(0);
    const before = device.stats().pooledBytes;
    broken = true;
    const region = await device.allocate(20 * KIB);
    await expect(region.release()).rejects.toMatchObject({ code: 'RELEASE_FAILED' });
    expect(device.stats().pooledBytes).toBe(before);
    await device.close();
  });

  it('counts what it keeps as free, and gives it up before it refuses a region', async () => {
    let free = 2000 * KIB;
    const memory = { totalMemory: () => 10_000 * KIB, freeMemory: () => free };
    const device = await hostBackend({ poolBytes: 640 * KIB, ...memory }).open(0);
    await (await device.allocate(32 * KIB)).release();
    const kept = device.stats().pooledBytes;
    free = 8 * KIB;
    expect((await device.capacity()).freeBytes).toBe(8 * KIB + kept);
    const region = await device.allocate(8 * KIB + kept);
    expect(device.stats().pooledBytes).toBe(0);
    await expect(device.allocate(9 * KIB)).rejects.toMatchObject({ code: 'INSUFFICIENT_VRAM' });
    await region.release();
    await device.close();
  });

  it('[RP-001] a manager with a budget has shards and kept memory within it together', async () => {
    const engine = createNodeEngine();
    const backend = hostBackend({ poolBytes: 64 * 1024 * KIB });
    const device = await backend.open(0);
    const scratchBytes = device.stats().scratchBytes;
    const budgetBytes = scratchBytes + 100 * KIB;
    const manager = await VramManager.open(
      { device, policy: 'any', workerId: 'pool', budgetBytes },
      { backends: () => [backend], crypto: nodeCrypto, engine: () => engine, forceHost: false },
    );
    const together = () => {
      const { liveBytes, pooledBytes } = device.stats();
      return scratchBytes + liveBytes + pooledBytes;
    };
    await manager.release(await manager.seal(bytesSource(block(1, 60 * KIB))));
    expect(device.stats().pooledBytes).toBeGreaterThanOrEqual(60 * KIB);
    await manager.seal(bytesSource(block(2, 80 * KIB)));
    expect(together()).toBeLessThanOrEqual(budgetBytes);
    await manager.close();
    await device.close();
    await engine.close();
  });
});
