import type { Device, DeviceInfo } from '../../src/device/types.js';
import { isVramError } from '../../src/errors.js';
import type { PresentTestbed } from '../support/cuda.js';
import { xorshiftBytes } from '../support/xorshift.js';
import { ADD } from './programs.js';

const BLOCK = 4096;

/** What a run came to, and whether the failure that was injected was told to anyone. */
export interface SweepOutcome {
  readonly error: unknown;
  /** The device's own report of its end. */
  readonly ending: string | null;
  readonly info: DeviceInfo | undefined;
}

/** Every kind of work that regions and leases do, once: the run in which each driver call is made to fail. */
export async function wholeRun(bed: PresentTestbed): Promise<SweepOutcome> {
  const backend = bed.backend();
  const [info] = await backend.list();
  let device: Device | null = null;
  let error: unknown = null;
  try {
    const problem = await backend.problem();
    if (problem !== null) throw Object.assign(new Error(problem.message), { code: problem.code, problem });
    device = await backend.open(0, { drills: true });
    await work(device);
  } catch (caught) {
    error = caught;
  }
  await device?.close();
  return { error, ending: device === null ? null : (await device.lost).message, info };
}

async function work(device: Device): Promise<void> {
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
      const scratch = await binding.scratch(64);
      await scratch.write(new Uint8Array(64));
      await binding.launch({
        module: ADD,
        entry: 'add',
        grid: [1, 1, 1],
        block: [16, 1, 1],
        args: [{ weights: { offset: 0, length: 64 } }, { scratch }, { u32: 1 }],
      });
      await scratch.read();
    } finally {
      await binding.end();
    }
  } finally {
    await region.release();
  }
}

/** The failure was told: by a typed error, by the problem of an empty list, by the device's ending, or as a fact that could not be had. */
export function wasTold(call: string, outcome: SweepOutcome): boolean {
  if (isVramError(outcome.error)) return true;
  if (outcome.error instanceof Error && 'problem' in outcome.error) return true;
  if (outcome.error !== null) return false;
  if (outcome.ending?.includes(call) === true) return true;
  return outcome.info?.facts.memoryType === null;
}

/** Calls of a run without failures. */
export async function countCalls(bed: PresentTestbed): Promise<readonly (readonly [string, number])[]> {
  bed.emulator.reset();
  const { error } = await wholeRun(bed);
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
  call: string,
  nth: number,
  result: number,
): Promise<SweepFinding | null> {
  const { emulator } = bed;
  emulator.reset();
  emulator.failCall(call, nth, result);
  const outcome = await wholeRun(bed);
  const reached = emulator.injections().every((injection) => injection.reached);
  const live = emulator.liveAllocations();
  const faults: string[] = [];
  if (!reached) faults.push('not reached');
  if (!wasTold(call, outcome)) faults.push(`not told: ${String(outcome.error)}; ${outcome.ending}`);
  if (live.total !== 0) faults.push(`left behind: ${JSON.stringify(live)}`);
  return faults.length === 0 ? null : { call, nth, found: faults.join('; ') };
}
