import { describe, expect, it } from 'vitest';
import { VramError } from '../../../../src/base/errors.js';
import { hostBackend } from '../../../../src/device/host/index.js';
import { nodeHostBackend } from '../../../../src/node/devices/host.js';
import { nodeOracle } from '../../../support/oracle.js';

const MIB = 1024 * 1024;

describe('hostBackend', () => {
  it('lists one device, host, and has no problem', async () => {
    const backend = hostBackend();
    const infos = await backend.list();
    expect(infos).toHaveLength(1);
    expect(infos[0]).toMatchObject({
      backend: 'host',
      index: 0,
      uuid: null,
      execution: 'software',
      ecc: 'unknown',
      facts: { memoryType: 'host', driverOverride: false, totalBytes: null },
    });
    expect(await backend.problem()).toBeNull();
  });

  it('[IV-002] refuses every index but 0, and lists the device present', async () => {
    for (const index of [1, -1, 0.5, Number.NaN]) {
      await expect(hostBackend().open(index)).rejects.toMatchObject({
        code: 'INVALID_INPUT',
        message: expect.stringContaining('host'),
      });
    }
  });

  it('refuses segments that are not a positive multiple of 4096', () => {
    for (const segmentBytes of [0, -4096, 4095, 4097, Number.NaN, 2 ** 40]) {
      expect(() => hostBackend({ segmentBytes })).toThrow(expect.objectContaining({ code: 'INVALID_INPUT' }));
    }
  });

  it('[VP-004] refuses what is larger than free memory, with both figures', async () => {
    const device = await hostBackend({ totalMemory: () => 64 * MIB, freeMemory: () => 8 * MIB }).open(0);
    expect(await device.capacity()).toEqual({ totalBytes: 64 * MIB, freeBytes: 8 * MIB, source: 'system' });
    expect(device.info.facts.totalBytes).toBe(64 * MIB);
    await expect(device.allocate(8 * MIB + 1)).rejects.toMatchObject({
      code: 'INSUFFICIENT_VRAM',
      neededBytes: 8 * MIB + 4096,
      availableBytes: 8 * MIB,
    });
    await (await device.allocate(8 * MIB)).release();
    await device.close();
  });

  it('calls a lack of memory what is one, and nothing else', async () => {
    let thrown: unknown = null;
    const backend = hostBackend({
      inject: {
        beforeAllocate: () => {
          if (thrown !== null) throw thrown;
        },
      },
    });
    const device = await backend.open(0);
    const sizes = { neededBytes: 4096, availableBytes: null };
    thrown = new RangeError('Array buffer allocation failed');
    await expect(device.allocate(1)).rejects.toMatchObject({
      code: 'ALLOCATION_FAILED',
      cause: thrown,
      ...sizes,
    });
    thrown = new VramError('DEVICE_LOST', 'gone');
    await expect(device.allocate(1)).rejects.toBe(thrown);
    for (const [value, reason] of [
      [new TypeError('x is not a function'), 'x is not a function'],
      ['text', 'an unknown error'],
    ] as const) {
      thrown = value;
      await expect(device.allocate(1)).rejects.toMatchObject({
        code: 'DEVICE_UNAVAILABLE',
        message: `host could not make a region: ${reason}`,
        cause: value,
      });
    }
    thrown = null;
    await (await device.allocate(1)).release();
    await device.close();
  });

  it('[WK-003] invents no capacity where the platform says nothing', async () => {
    const device = await hostBackend().open(0);
    expect(await device.capacity()).toEqual({ totalBytes: null, freeBytes: null, source: 'none' });
    await device.close();
  });

  it('[MS-004] a wipe that fails is RELEASE_FAILED once told, and the accounting is closed all the same', async () => {
    let failing = false;
    const freed: number[] = [];
    const device = await hostBackend({
      segmentBytes: 4096,
      inject: {
        wipe: (segment) => {
          if (failing) throw new Error('stuck');
          segment.fill(0);
        },
        freed: (segment) => freed.push(segment.length),
      },
    }).open(0);
    const region = await device.allocate(3 * 4096);
    const other = await device.allocate(4096);
    failing = true;
    freed.length = 0;
    await expect(region.release()).rejects.toMatchObject({ code: 'RELEASE_FAILED', scope: 'device' });
    expect(freed).toEqual([4096, 4096, 4096]);
    expect(device.stats()).toMatchObject({ liveRegions: 1, liveBytes: 4096 });
    // Cleanup never throws.
    await device.close();
    await expect(other.release()).rejects.toMatchObject({ code: 'RELEASE_FAILED' });
    expect(device.stats()).toMatchObject({ liveRegions: 0, liveBytes: 0 });
  });

  it('[MS-008] release wipes all that was ever written, and touches nothing else', async () => {
    const wiped: number[] = [];
    let left = 0;
    const device = await hostBackend({
      segmentBytes: 4 * 4096,
      inject: {
        wipe: (written) => {
          wiped.push(written.length);
          written.fill(0);
        },
        freed: (segment) => {
          left += segment.filter((byte) => byte !== 0).length;
        },
      },
    }).open(0, { drills: true });
    const region = await device.allocate(12 * 4096);
    wiped.length = 0;
    await region.write(0, new Uint8Array(5000).fill(7));
    await region.write(4 * 4096 + 10, new Uint8Array(90).fill(7));
    await region.freeze();
    await region.faults?.flip(9 * 4096, 1);
    await region.release();
    expect(wiped).toEqual([4096 + 1, 100, 5000]);
    expect(left).toBe(0);
    await device.close();
  });

  it('a run of several windows lets timers and an abort have their turn', async () => {
    const device = await nodeHostBackend().open(0);
    const region = await device.allocate(80 * MIB);
    await region.freeze();
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 0);
    await expect(region.root({ signal: controller.signal })).rejects.toMatchObject({ code: 'ABORTED' });
    await device.close();
  });

  it('[CI-008] hashes alike with the built-in engine, Node’s and one that is injected', async () => {
    const bytes = new Uint8Array(300_000).map((_, i) => i % 251);
    const roots: Uint8Array[] = [];
    for (const backend of [hostBackend(), nodeHostBackend(), hostBackend({ engine: nodeOracle })]) {
      const device = await backend.open(0);
      const region = await device.allocate(bytes.length);
      await region.write(0, bytes);
      await region.freeze();
      roots.push((await region.root()).root);
      await device.close();
    }
    expect(roots[1]).toEqual(roots[0]);
    expect(roots[2]).toEqual(roots[0]);
  });

  it('[CI-011] an engine that hashes wrong does not open', async () => {
    const wrong = {
      ...nodeOracle,
      leaves: async (bytes: Uint8Array) => nodeOracle.nodes(bytes.map((b) => b ^ 1)),
    };
    await expect(hostBackend({ engine: wrong }).open(0)).rejects.toMatchObject({
      code: 'DEVICE_UNAVAILABLE',
      message: expect.stringContaining('known-answer'),
    });
  });

  it('Node’s host backend takes its capacity from the system', async () => {
    const device = await nodeHostBackend().open(0);
    const { totalBytes, freeBytes, source } = await device.capacity();
    expect(source).toBe('system');
    expect(totalBytes).toBeGreaterThan(64 * MIB);
    expect(freeBytes).toBeGreaterThan(0);
    expect(freeBytes).toBeLessThanOrEqual(totalBytes ?? 0);
    await device.close();
  });
});
