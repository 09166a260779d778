import { syncBuiltinESMExports } from 'node:module';
import { totalmem } from 'node:os';
import process from 'node:process';
import { afterEach, expect, it, vi } from 'vitest';
import { nodeHostBackend } from '../../../../src/node/devices/host.js';

const MIB = 2 ** 20;
const { constrainedMemory } = process;
afterEach(() => {
  vi.restoreAllMocks();
  process.constrainedMemory = constrainedMemory;
  syncBuiltinESMExports();
});

/** The limit of the process's control group from now on, and how often it is read. */
function controlGroup(limit: number): { limit: number; reads: number } {
  const group = { limit, reads: 0 };
  process.constrainedMemory = () => {
    group.reads++;
    return group.limit;
  };
  syncBuiltinESMExports();
  return group;
}

it('the capacity is what the control group allows, read again after a second', async () => {
  const group = controlGroup(64 * MIB);
  let nowMs = 5000;
  vi.spyOn(performance, 'now').mockImplementation(() => nowMs);
  const device = await nodeHostBackend().open(0);
  const opening = group.reads;
  expect(await device.capacity()).toMatchObject({ totalBytes: 64 * MIB, source: 'system' });
  group.limit = 32 * MIB;
  nowMs += 999;
  expect((await device.capacity()).totalBytes).toBe(64 * MIB);
  expect(group.reads).toBe(opening);
  nowMs += 1;
  const { totalBytes, freeBytes } = await device.capacity();
  expect(totalBytes).toBe(32 * MIB);
  expect(freeBytes).toBeLessThanOrEqual(32 * MIB);
  await device.close();
});

it.each([
  ['none', 0],
  ['more than there is', 2 ** 63],
])('with %s as its limit the capacity is what the system has', async (_, limit) => {
  controlGroup(limit);
  const device = await nodeHostBackend().open(0);
  expect((await device.capacity()).totalBytes).toBe(totalmem());
  await device.close();
});
