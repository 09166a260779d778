import type { Device, Region } from '../../../src/device/types.js';
import { createNodeEngine } from '../../../src/node/digest/create-engine.js';
import type { Figure } from '../runner/report.js';
import { Failure, type StepContext } from './context.js';
import { CHUNK, CHUNK_BYTES, repeatedRoot } from './data.js';
import { loadMeasureKernels } from './measure-kernels.js';
import { elapsedMs, fitLine, gigabytesPerSecond, medianMs, powersOfTwo, rounded } from './measuring.js';
import { type ClockSamples, withClocks } from './nvidia-smi.js';
import { driverPath, measureAddon, RawDevice } from './raw-device.js';

const GIB = 2 ** 30;
const MAX_BYTES = 32 * GIB;
const REPEATS = 5;
const WINDOWS = { first: 2 ** 28, last: 2 ** 34 };
/** Memory left free beside the largest region: for scratch, the driver and rounding. */
const HEADROOM_BYTES = 512 * 2 ** 20;
/** The readback path is slow: it is compared at this size at most. */
const READBACK_BYTES = GIB;
/** Lets clocks settle under load; long enough for some samples of nvidia-smi. */
const CLOCK_MS = 1500;

/**
 * Cycles that one multiprocessor takes for 64 bytes, and the share of the data among what is hashed:
 * docs/decisions/cuda-kernels.md.
 */
const CYCLES_PER_64_BYTES = 20.06;
const PADDING_SHARE = 0.99;

interface Point {
  readonly bytes: number;
  readonly ms: number;
}

/** Verification in place at every power of two that fits, and the cost of other ways to verify the same bytes. */
export async function verifySweep(context: StepContext): Promise<void> {
  const device = await context.backend().open(context.setting.device);
  const points: Point[] = [];
  let clocks: ClockSamples | null = null;
  try {
    const { freeBytes } = await device.capacity();
    const largest = context.affordable(Math.min(MAX_BYTES, (freeBytes ?? GIB) - HEADROOM_BYTES));
    for (const bytes of powersOfTwo(CHUNK_BYTES, largest)) {
      // A size costs about as much as all smaller ones together; sizes up to the readback limit are quick.
      if (bytes > READBACK_BYTES && context.budgetLeftMs() < 0) break;
      clocks = await withRegion(device, bytes, async (region) => {
        points.push({ bytes, ms: await medianMs(REPEATS, () => region.root()) });
        tellPoints(context, points);
        if (bytes === Math.min(READBACK_BYTES, largest)) await againstReadback(context, device, region);
        return bytes * 2 > largest ? await clocksUnderLoad(context, device, region) : clocks;
      });
    }
  } finally {
    await device.close();
  }
  await windowSizes(context, points.at(-1)?.bytes ?? CHUNK_BYTES);
  const { fixedMs, msPerByte } = fitLine(points);
  context.figure('fixedMs', rounded(fixedMs));
  const GBps = rounded(1 / msPerByte / 1e6);
  context.figure('GBps', GBps);
  predict(context, GBps, clocks);
  await againstKernels(context, points.at(-1)?.bytes ?? CHUNK_BYTES);
}

/** The largest size again, with other windows: a window is hashed in one launch and determines a run's scratch. */
async function windowSizes(context: StepContext, bytes: number): Promise<void> {
  const windows: Figure[] = [];
  for (const windowBytes of powersOfTwo(Math.min(WINDOWS.first, bytes / 4), Math.min(WINDOWS.last, bytes))) {
    const device = await context.backend().open(context.setting.device, { windowBytes });
    try {
      // Zeros take as long as other data, and the sweep has already checked the hashes.
      const region = await device.allocate(bytes);
      await region.freeze();
      const ms = await medianMs(REPEATS, () => region.root());
      const { scratchBytes } = device.stats();
      windows.push({
        windowBytes,
        scratchBytes,
        bytes,
        ms: rounded(ms),
        GBps: gigabytesPerSecond(bytes, ms),
      });
      context.figure('windows', [...windows]);
      await region.release();
    } finally {
      await device.close();
    }
  }
}

function tellPoints(context: StepContext, points: readonly Point[]): void {
  const sizes: Figure = points.map(({ bytes, ms }) => ({
    bytes,
    ms: rounded(ms),
    GBps: gigabytesPerSecond(bytes, ms),
  }));
  context.figure('sizes', sizes);
}

/** Passes a frozen region of generated data to `work`, after comparing its root with the host's. */
async function withRegion<T>(
  device: Device,
  bytes: number,
  work: (region: Region) => Promise<T>,
): Promise<T> {
  const region = await device.allocate(bytes);
  try {
    for (let at = 0; at < bytes; at += CHUNK_BYTES) await region.write(at, CHUNK);
    await region.freeze();
    const { root } = await region.root();
    if (Buffer.compare(root, await repeatedRoot(bytes)) !== 0) {
      throw new Failure(`the root of ${bytes} bytes is not what the host computes`);
    }
    return await work(region);
  } finally {
    await region.release();
  }
}

/** The cost of verifying without the device: every byte is read back and hashed on the CPU. */
async function againstReadback(context: StepContext, device: Device, region: Region): Promise<void> {
  const engine = createNodeEngine();
  try {
    const before = device.stats().readbackBytes;
    const readback = async (): Promise<void> => {
      const stream = engine.start({ byteLength: region.byteLength, sha256: false, keep: 'root' });
      for (let at = 0; at < region.byteLength; at += CHUNK_BYTES) {
        await stream.update(await region.read(at, CHUNK_BYTES));
      }
      await stream.finish();
    };
    const ms = await elapsedMs(readback);
    const bytes = device.stats().readbackBytes - before;
    const inPlace = await medianMs(REPEATS, () => region.root());
    context.figure('readback', {
      bytes,
      ms: rounded(ms),
      GBps: gigabytesPerSecond(region.byteLength, ms),
      ratio: rounded(ms / inPlace),
    });
  } finally {
    await engine.close();
  }
}

async function clocksUnderLoad(
  context: StepContext,
  device: Device,
  region: Region,
): Promise<ClockSamples | null> {
  if (context.setting.emulated) return null;
  return await withClocks(device.info.uuid, async () => {
    const until = performance.now() + CLOCK_MS;
    while (performance.now() < until) await region.root();
  });
}

/** The arithmetic of docs/decisions/cuda-kernels.md, for this card's multiprocessors and its measured clock. */
function predict(context: StepContext, GBps: number, clocks: ClockSamples | null): void {
  if (context.setting.emulated) return;
  const { multiprocessors = 0, maxClockKHz = 0 } = measureAddon().attributes(
    driverPath(),
    context.setting.device,
  );
  const measured = clocks?.smMHz ?? null;
  const hertz = measured === null ? maxClockKHz * 1e3 : measured * 1e6;
  const predicted = ((multiprocessors * hertz * 64) / CYCLES_PER_64_BYTES / 1e9) * PADDING_SHARE;
  context.figure('clocks', { ...clocks });
  context.figure('predicted', {
    GBps: rounded(predicted),
    ratio: rounded(GBps / predicted),
    multiprocessors,
    clockMHz: hertz / 1e6,
    clockFrom: measured === null ? "the driver's maximum" : 'nvidia-smi during the step',
  });
}

/** The memory bandwidth: of a copy within the device, and of a kernel that only reads everything and adds it up. */
async function againstKernels(context: StepContext, bytes: number): Promise<void> {
  const device = await RawDevice.open(context.setting.device);
  try {
    const half = bytes / 2;
    const data = await device.made(bytes);
    const copyMs = await medianMs(REPEATS, async () => {
      await device.addon.copy(data, 0, data, half, half);
      await device.synchronize();
    });
    // Each byte is read and written.
    context.figure('copy', { bytes: half, ms: rounded(copyMs), GBps: gigabytesPerSecond(2 * half, copyMs) });
    const kernels = await loadMeasureKernels(device);
    await kernels.proveSum(data, bytes);
    const sumMs = await medianMs(REPEATS, () => kernels.sum(data, bytes));
    context.figure('sum', { bytes, ms: rounded(sumMs), GBps: gigabytesPerSecond(bytes, sumMs) });
  } finally {
    await device.close();
  }
}
