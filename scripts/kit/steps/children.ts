// Work that steps run in separate processes, because it measures a fresh process or destroys its context. Each process
// prints one JSON document.

import { isVramError } from '../../../src/base/errors.js';
import type { Region } from '../../../src/device/types.js';
import { nodeCudaBackend } from '../../../src/node/devices/cuda/backend.js';
import { CHUNK, CHUNK_BYTES } from './data.js';

const PROFILED_BYTES = 2 ** 30;

/** Opens the device, which checks its known answers, and reports how long that took. */
export async function openChild(index: number): Promise<Record<string, number>> {
  const started = performance.now();
  const device = await nodeCudaBackend().open(index);
  const openMs = performance.now() - started;
  await device.close();
  return { openMs };
}

/** For a profiler to watch: one root over a region large enough to fill the device. */
export async function verifyChild(index: number): Promise<Record<string, number>> {
  const device = await nodeCudaBackend().open(index);
  const { freeBytes } = await device.capacity();
  const byteLength = Math.min(
    PROFILED_BYTES,
    CHUNK_BYTES * Math.floor((freeBytes ?? CHUNK_BYTES) / 2 / CHUNK_BYTES),
  );
  const region = await device.allocate(byteLength);
  for (let at = 0; at < byteLength; at += CHUNK_BYTES) await region.write(at, CHUNK);
  await region.freeze();
  const { blocks } = await region.root();
  await device.close();
  return { byteLength, blocks };
}

/** One thread stores one word past the end of everything allocated. */
const STORE_FAR = `.version 8.0
.target sm_75
.address_size 64
.visible .entry store_far(.param .u64 store_far_param_0)
{
	.reg .b32 	%r<2>;
	.reg .b64 	%rd<4>;
	ld.param.u64 	%rd1, [store_far_param_0];
	cvta.to.global.u64 	%rd2, %rd1;
	add.s64 	%rd3, %rd2, 0x10000000000;
	mov.u32 	%r1, 7;
	st.global.u32 	[%rd3], %r1;
	ret;
}
`;

/**
 * Destroys its own context by a store to an unmapped address, and reports what calls on the device return afterwards.
 */
export async function loseChild(index: number): Promise<Record<string, string>> {
  const backend = nodeCudaBackend();
  const device = await backend.open(index);
  const region = await device.allocate(CHUNK_BYTES);
  await region.write(0, CHUNK);
  await region.freeze();
  const store = await answer(() => storeFar(region), 'carried out');
  const rootAfter = await answer(() => region.root(), 'answered');
  const capacityAfter = await answer(() => device.capacity(), 'answered');
  const lostReason = await Promise.race([
    device.lost.then(({ reason }) => reason),
    new Promise<string>((resolve) => setTimeout(resolve, 1000, 'not told within a second')),
  ]);
  await device.close().catch(() => undefined);
  const reopenAfter = await answer(async () => (await backend.open(index)).close(), 'opened');
  return { store, rootAfter, capacityAfter, lostReason, reopenAfter };
}

async function storeFar(region: Region): Promise<void> {
  const binding = region.view(0, CHUNK_BYTES);
  if (binding.kind !== 'cuda') throw new Error('not a CUDA device');
  await binding.launch({
    module: STORE_FAR,
    entry: 'store_far',
    grid: [1, 1, 1],
    block: [1, 1, 1],
    args: [{ weights: { offset: 0, length: CHUNK_BYTES } }],
  });
  await binding.end();
}

/** `good`, or the code of the error. */
async function answer(work: () => Promise<unknown>, good: string): Promise<string> {
  try {
    await work();
    return good;
  } catch (error) {
    if (isVramError(error)) return error.code;
    throw error;
  }
}
