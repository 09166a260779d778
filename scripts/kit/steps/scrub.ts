import type { Observer, OperationEvent } from '../../../src/events/events.js';
import { VramManager } from '../../../src/index.js';
import type { Figure } from '../runner/report.js';
import type { StepContext } from './context.js';
import { repeatedSource } from './data.js';
import { type BusyKernel, loadMeasureKernels } from './measure-kernels.js';
import { gigabytesPerSecond, medianMs, rounded } from './measuring.js';
import { RawDevice } from './raw-device.js';

const SHARES = [0.01, 0.1];
const GIB = 2 ** 30;
/** The lowest rate that scrub() accepts: one group per second. */
const LEAST_RATE = 524_288;
/** Phases of the step: the other kernel alone, then for each share the scrub alone and both together. */
const PHASES = 1 + 2 * SHARES.length;
const LEAST_PHASE_MS = 200;
/** For the test driver, whose speed means nothing: one walk through 4 MiB is enough. */
const EMULATED_PHASE_MS = 700;

/** A scrub at 1 and 10 % of the bandwidth beside a kernel that keeps the device busy: how much slower each gets. */
export async function scrub(context: StepContext): Promise<void> {
  const walks = new Walks();
  const manager = await VramManager.open({
    workerId: 'kit',
    device: context.deviceName(),
    policy: context.policy(),
    observers: [walks],
  });
  const neighbour = await RawDevice.open(context.setting.device);
  try {
    const shard = await manager.seal(repeatedSource(context.affordable(GIB)), { digests: ['fsverity'] });
    const verifyMs = await medianMs(3, () => manager.verify(shard));
    const bandwidth = (shard.byteLength / verifyMs) * 1000;
    context.figure('bandwidthGBps', gigabytesPerSecond(shard.byteLength, verifyMs));
    const busy = (await loadMeasureKernels(neighbour)).busy(context.setting.emulated);
    const phaseMs = context.setting.emulated
      ? EMULATED_PHASE_MS
      : Math.max(LEAST_PHASE_MS, context.budgetLeftMs() / PHASES);
    const alone = await busyRate(busy, phaseMs);
    const shares: Figure[] = [];
    for (const share of SHARES) {
      const bytesPerSecond = Math.max(LEAST_RATE, Math.round(bandwidth * share));
      const scrubbing = { intervalMs: 1, bytesPerSecond };
      const scrubAlone = await walks.during(manager, scrubbing, () => sleep(phaseMs));
      let beside = 0;
      const scrubBeside = await walks.during(manager, scrubbing, async () => {
        beside = await busyRate(busy, phaseMs);
      });
      shares.push({
        share,
        askedGBps: rounded(bytesPerSecond / 1e9),
        scrubAloneGBps: scrubAlone,
        scrubBesideGBps: scrubBeside,
        neighbourSlowdown: rounded(alone / beside),
      });
      context.figure('shares', [...shares]);
    }
  } finally {
    await neighbour.close();
    await manager.close();
  }
}

/** Launches per second, over at least `ms` milliseconds. */
async function busyRate(busy: BusyKernel, ms: number): Promise<number> {
  const started = performance.now();
  let launches = 0;
  while (performance.now() - started < ms) {
    await busy.run();
    launches += 1;
  }
  return (launches * 1000) / (performance.now() - started);
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Counts the bytes that scrubbers have verified, from their events. */
class Walks implements Observer {
  readonly name = 'scrub-walks';
  readonly required = false;
  #bytes = 0;
  #ms = 0;

  on(event: OperationEvent): void {
    if (event.type !== 'scrub.finished' || !event.ok) return;
    this.#bytes += event.byteLength;
    this.#ms += event.durationMs ?? 0;
  }

  /** A scrubber's rate while `work` runs, in GB/s over whole walks; null if it finished none. */
  async during(
    manager: VramManager,
    options: { readonly intervalMs: number; readonly bytesPerSecond: number },
    work: () => Promise<void>,
  ): Promise<number | null> {
    this.#bytes = 0;
    this.#ms = 0;
    const scrubber = manager.scrub(options);
    try {
      await work();
    } finally {
      await scrubber.stop();
    }
    return gigabytesPerSecond(this.#bytes, this.#ms);
  }
}
