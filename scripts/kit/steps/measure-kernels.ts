import { readFileSync } from 'node:fs';
import type { MemoryHandle } from '../../../src/device/cuda/addon.js';
import { Failure, kitPath } from './context.js';
import { CHUNK, CHUNK_BYTES } from './data.js';
import { type RawDevice, whole } from './raw-device.js';

const THREADS = 256;
/** Enough thread blocks to fill the largest GPU several times over; fewer where there is less to read. */
const MAX_BLOCKS = 4096;
const BYTES_A_BLOCK = 16 * THREADS * 4;
const BUSY_BLOCKS = { hardware: MAX_BLOCKS, emulated: 2 } as const;
/** Some milliseconds on a large GPU. */
const ITERATIONS = { hardware: 20_000, emulated: 100 } as const;

/** Keeps the arithmetic units busy for one launch after another. */
export interface BusyKernel {
  run(): Promise<void>;
}

/** The kernels of cuda/variants/measure.cu: yardsticks, not part of the package. */
export interface MeasureKernels {
  /** Reads `bytes` of generated data and adds them up. */
  sum(data: MemoryHandle, bytes: number): Promise<void>;
  /** The same once, and compares the result with the host's. Errors: Failure. */
  proveSum(data: MemoryHandle, bytes: number): Promise<void>;
  busy(emulated: boolean): BusyKernel;
}

export async function loadMeasureKernels(device: RawDevice): Promise<MeasureKernels> {
  const module = await device.load(readFileSync(kitPath('../cuda/variants/measure.ptx'), 'utf8'));
  const result = await device.allocate(16);
  const sum = (data: MemoryHandle, bytes: number): Promise<void> => {
    const blocks = Math.min(MAX_BLOCKS, Math.ceil(bytes / BYTES_A_BLOCK));
    return device.run(module, 'vr_sum', blocks, THREADS, [
      whole(data, bytes),
      { u64: bytes },
      whole(result, 8),
    ]);
  };
  return {
    sum,
    proveSum: async (data, bytes) => {
      await device.addon.fill(result, 0, 8, 0);
      await sum(data, bytes);
      const got = await device.addon.read(result, 0, 8);
      const expected = BigInt.asUintN(64, sumOfChunk() * BigInt(bytes / CHUNK_BYTES));
      if (new DataView(got.slice().buffer).getBigUint64(0, true) !== expected) {
        throw new Failure('the kernel that only sums gives a wrong sum: it does not read everything');
      }
    },
    busy: (emulated) => {
      const size = emulated ? 'emulated' : 'hardware';
      return {
        run: () =>
          device.run(module, 'vr_busy', BUSY_BLOCKS[size], THREADS, [
            { u32: ITERATIONS[size] },
            whole(result, 4),
          ]),
      };
    },
  };
}

function sumOfChunk(): bigint {
  const words = new Uint32Array(CHUNK.buffer, CHUNK.byteOffset, CHUNK_BYTES / 4);
  return BigInt(words.reduce((sum, word) => sum + word, 0));
}
