import { readdirSync } from 'node:fs';
import { isVramError } from '../../src/base/errors.js';
import { typed } from '../../src/device/cuda/failures.js';
import { type DescriptorHandle, exportMemory } from '../../src/device/index.js';
import type { CudaBinding, Device, DeviceInfo } from '../../src/device/types.js';
import { VramManager } from '../../src/manager/index.js';
import { bytesSource } from '../../src/source/bytes.js';
import type { PresentTestbed } from '../support/cuda.js';
import { socketAddon } from '../support/share-client.js';
import { xorshiftBytes } from '../support/xorshift.js';
import { platform } from '../unit/manager/fixture.js';
import { ADD } from './programs.js';

const BLOCK = 4096;

/** What a run came to, and whether the failure that was injected was told to anyone. */
export interface SweepOutcome {
  readonly error: unknown;
  /** The device's own report of its end. */
  readonly ending: string | null;
  readonly info: DeviceInfo | undefined;
}

/** What is done with an opened device while one of its driver calls fails. */
export type SweepWork = (device: Device, bed: PresentTestbed) => Promise<void>;

/** A run from listing the devices to closing one, with some work in between. */
export async function wholeRun(bed: PresentTestbed, work: SweepWork): Promise<SweepOutcome> {
  const backend = bed.backend();
  const [info] = await backend.list();
  let device: Device | null = null;
  let error: unknown = null;
  try {
    const problem = await backend.problem();
    if (problem !== null) throw Object.assign(new Error(problem.message), { code: problem.code, problem });
    device = await backend.open(0, { drills: true });
    await work(device, bed);
  } catch (caught) {
    error = caught;
  }
  await device?.close();
  return { error, ending: device === null ? null : (await device.lost).message, info };
}

/** Every kind of work that regions and leases do, once. */
export async function regionWork(device: Device): Promise<void> {
  await device.capacity();
  const bytes = xorshiftBytes(61, 2 * BLOCK + 77);
  const region = await device.allocate(bytes.length);
  try {
    await region.write(0, bytes.subarray(0, 5000));
    await region.write(5000, bytes.subarray(5000));
    await region.freeze();
    await region.root();
    await region.faults?.flip(5, 1);
    await region.root();
    await region.nodes(0, 0, 3);
    await region.patch(0, bytes.slice(0, BLOCK));
    await region.root();
    await region.read(0, bytes.length);
    const binding = region.view(0, bytes.length);
    if (binding.kind !== 'cuda') throw new Error('not a CUDA binding');
    try {
      await addWithin(binding);
    } finally {
      await binding.end();
    }
  } finally {
    await region.release();
  }
}

/**
 * Memory that is exported and imported again: what an owner and a client do, in one process. Then memory that is given up.
 */
export async function sharedWork(device: Device, bed: PresentTestbed): Promise<void> {
  const bytes = xorshiftBytes(63, 2 * BLOCK + 77);
  const region = await device.allocate(bytes.length, { share: true });
  try {
    await region.write(0, bytes);
    await region.freeze();
    await region.root();
    await region.patch(0, bytes.slice(0, BLOCK));
    if (region.shared === null) throw new Error('the region is not shared');
    const descriptor = await exportMemory(region.shared);
    try {
      await importedOnce(bed, descriptor, region.shared.mappedBytes).catch((error: unknown) => {
        // The addon's own failure: what uses it gives it a type.
        throw typed(error, 'DEVICE_UNAVAILABLE', 'the import');
      });
    } finally {
      socketAddon(bed.addon).closeDescriptor(descriptor);
    }
  } finally {
    await region.release();
  }
  const given = await device.allocate(BLOCK, { share: true });
  await given.freeze();
  await given.abandon();
}

async function importedOnce(
  { addon, libraryPath }: PresentTestbed,
  descriptor: DescriptorHandle,
  bytes: number,
): Promise<void> {
  const device = await addon.open(await addon.load(libraryPath), 0, BLOCK);
  try {
    const { memory } = await addon.importMemory(device, descriptor, bytes);
    await addon.read(memory, 0, BLOCK);
    await addon.release(memory);
  } finally {
    await addon.close(device);
  }
}

async function addWithin(lease: Pick<CudaBinding, 'launch' | 'scratch'>): Promise<void> {
  const scratch = await lease.scratch(64);
  await scratch.write(new Uint8Array(64));
  await lease.launch({
    module: ADD,
    entry: 'add',
    grid: [1, 1, 1],
    block: [16, 1, 1],
    args: [{ weights: { offset: 0, length: 64 } }, { scratch }, { u32: 1 }],
  });
  await scratch.read();
}

/** Seal, verify, damage, heal, verify, execute, release, close: a manager on a device that stays the test's. */
export async function managerWork(device: Device, bed: PresentTestbed): Promise<void> {
  const bytes = xorshiftBytes(62, 2 * BLOCK + 77);
  const manager = await VramManager.open(
    { device, workerId: 'sweep', policy: 'any', keep: 'leaves' },
    platform(),
  );
  try {
    const source = bytesSource(bytes);
    const shard = await manager.seal(source);
    try {
      await manager.verify(shard);
      bed.emulator.flip(bed.emulator.allocations().length - 1, 5000, 4);
      const damaged = await manager.verify(shard).then(
        () => null,
        (error: unknown) => error,
      );
      if (damaged === null) throw new Error('the damage was not found');
      // Damage is what this verification must find; anything else, also beside it, ends the run.
      if (!isVramError(damaged, 'INTEGRITY_VIOLATION') || damaged.cause !== undefined) throw damaged;
      await manager.heal(shard, source);
      await manager.execute(shard, async (lease) => {
        if (lease.kind !== 'cuda') throw new Error('not a CUDA lease');
        await addWithin(lease);
      });
    } finally {
      await manager.release(shard);
    }
  } finally {
    await manager.close();
  }
}

/**
 * The failure was told: by a typed error, by the problem of an empty list, by the device's ending, or as a fact that could
 * not be had.
 */
export function wasTold(call: string, outcome: SweepOutcome): boolean {
  if (isVramError(outcome.error)) return true;
  if (outcome.error instanceof Error && 'problem' in outcome.error) return true;
  if (outcome.error !== null) return false;
  if (outcome.ending?.includes(call) === true) return true;
  return outcome.info?.facts.memoryType === null;
}

/** Calls of a run without failures. */
export async function countCalls(
  bed: PresentTestbed,
  work: SweepWork,
): Promise<readonly (readonly [string, number])[]> {
  bed.emulator.reset();
  const { error } = await wholeRun(bed, work);
  if (error !== null) throw error;
  return Object.entries(bed.emulator.calls());
}

export interface SweepFinding {
  readonly call: string;
  readonly nth: number;
  readonly found: string;
}

/** Makes one call fail; null if all is as it must be. */
export async function sweepOne(
  bed: PresentTestbed,
  work: SweepWork,
  call: string,
  nth: number,
  result: number,
): Promise<SweepFinding | null> {
  const { emulator } = bed;
  emulator.reset();
  emulator.failCall(call, nth, result);
  const descriptors = openDescriptors();
  const outcome = await wholeRun(bed, work);
  const reached = emulator.injections().every((injection) => injection.reached);
  const live = emulator.liveAllocations();
  const faults: string[] = [];
  if (!reached) faults.push('not reached');
  if (!wasTold(call, outcome)) faults.push(`not told: ${String(outcome.error)}; ${outcome.ending}`);
  if (live.total !== 0) faults.push(`left behind: ${JSON.stringify(live)}`);
  const left = openDescriptors() - descriptors;
  if (left !== 0) faults.push(`${left} descriptors left`);
  return faults.length === 0 ? null : { call, nth, found: faults.join('; ') };
}

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}
