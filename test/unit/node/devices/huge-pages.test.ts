import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { hostBackend } from '../../../../src/device/host/index.js';
import { optionalAddon } from '../../../../src/node/addon/index.js';
import { adviseHugePages } from '../../../../src/node/devices/huge-pages.js';

const MIB = 2 ** 20;

/** Bytes of this process's mappings that are advised to have huge pages. */
function advisedBytes(): number {
  let bytes = 0;
  let size = 0;
  for (const line of readFileSync('/proc/self/smaps', 'utf8').split('\n')) {
    if (line.startsWith('Size:')) size = Number.parseInt(line.slice(5), 10) * 1024;
    if (line.startsWith('VmFlags:') && / hg\b/.test(line)) bytes += size;
  }
  return bytes;
}

function whatIsMissing(): string {
  if (!existsSync('/sys/kernel/mm/transparent_hugepage')) return ' (SKIPPED: the system has no huge pages)';
  return optionalAddon() === null ? ' (SKIPPED: no addon for this machine)' : '';
}
const missing = whatIsMissing();

describe('huge pages', () => {
  it.skipIf(missing !== '')(`are asked for large fresh memory, which stays zeros${missing}`, () => {
    const before = advisedBytes();
    const memory = new Uint8Array(32 * MIB);
    adviseHugePages(memory);
    expect(advisedBytes() - before).toBeGreaterThanOrEqual(31 * MIB);
    expect(memory.every((byte) => byte === 0)).toBe(true);
    memory.fill(7);
    adviseHugePages(memory);
    expect(memory.every((byte) => byte === 7)).toBe(true);
  });

  it('are not asked for small memory', () => {
    const addon = optionalAddon();
    const before = missing === '' ? advisedBytes() : 0;
    adviseHugePages(new Uint8Array(MIB));
    adviseHugePages(new Uint8Array(0));
    // Less, where the collector has taken what an earlier test had.
    if (addon !== null) expect(advisedBytes()).toBeLessThanOrEqual(before);
  });
});

describe('the host device', () => {
  it('has each segment of a region prepared while it is zeros', async () => {
    const prepared: number[] = [];
    const backend = hostBackend({
      segmentBytes: 8192,
      prepare: (segment) => {
        expect(segment.every((byte) => byte === 0)).toBe(true);
        prepared.push(segment.length);
      },
    });
    const device = await backend.open(0);
    prepared.length = 0;
    const region = await device.allocate(20_000);
    expect(prepared).toEqual([8192, 8192, 4096]);
    await region.write(0, new Uint8Array(20_000).fill(3));
    expect(prepared).toHaveLength(3);
    await device.close();
  });
});
