import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { versions } from 'node:process';
import { thisMachine } from '../../../src/node/devices/cuda/machine.js';
import { classify } from '../../../src/policy/index.js';
import { Failure, kitPath, type StepContext, Unusable } from './context.js';
import { askNvidiaSmi } from './nvidia-smi.js';
import { driverPath, measureAddon } from './raw-device.js';

/** Turing: the PTX targets sm_75. */
const OLDEST_CAPABILITY = 7.5;
/** The contract suite and the drills need about this much memory. */
const LEAST_FREE_BYTES = 2 ** 30;

/** Describes this machine. If no step can run on it, this step reports that, once. */
export async function environment(context: StepContext): Promise<void> {
  const { setting } = context;
  context.figure('kit', kitDescription());
  context.figure('machine', {
    glibc: thisMachine().glibc,
    node: versions.node,
    cpu: cpus()[0]?.model ?? null,
    cores: availableParallelism(),
    memoryBytes: totalmem(),
  });
  const backend = context.backend();
  const devices = await backend.list();
  const info = devices.find(({ index }) => index === setting.device);
  if (info === undefined) {
    const problem = await backend.problem();
    const present = devices.map(({ index }) => `cuda:${index}`).join(', ');
    throw new Unusable(
      problem?.message ?? `there is no ${context.deviceName()}; devices present: ${present}`,
    );
  }
  const { residency, why } = classify(info.facts);
  const { major = 0, minor = 0 } = info.facts.computeCapability ?? {};
  const smi = setting.emulated || info.uuid === null ? null : await askNvidiaSmi(info.uuid);
  const attributes = measureAddon().attributes(driverPath(), setting.device);
  context.figure('gpu', {
    name: info.name,
    nvidiaSmiName: smi?.name ?? null,
    execution: info.execution,
    residency,
    residencyReason: why,
    computeCapability: `${major}.${minor}`,
    ecc: info.ecc,
    totalBytes: info.facts.totalBytes,
    ...attributes,
    smMHzNow: numberOrNull(smi?.['clocks.sm']),
    memoryMHzNow: numberOrNull(smi?.['clocks.mem']),
  });
  context.figure('driver', { cuda: info.driver, version: smi?.driver_version ?? null });
  if (major + minor / 10 < OLDEST_CAPABILITY) {
    throw new Unusable(`${info.name} has compute capability ${major}.${minor}; 7.5 is needed`);
  }
  // Opening checks the known answers; the selftest step reports a refusal.
  const device = await backend.open(setting.device);
  const { freeBytes } = await device.capacity();
  await device.close();
  context.figure('freeBytes', freeBytes);
  if (freeBytes !== null && freeBytes < LEAST_FREE_BYTES) {
    throw new Unusable(`${freeBytes} bytes of device memory are free; ${LEAST_FREE_BYTES} are needed`);
  }
  if (setting.emulated) return;
  if (residency !== 'device-local') throw new Failure(`the memory is ${residency}, not device-local: ${why}`);
  if (smi?.name === undefined) throw new Failure('nvidia-smi is missing or does not know this GPU');
  if (smi.name !== info.name)
    throw new Failure(`nvidia-smi calls this GPU "${smi.name}", the driver "${info.name}"`);
}

function kitDescription(): Record<string, string | null> {
  const kit: unknown = JSON.parse(readFileSync(kitPath('kit.json'), 'utf8'));
  if (typeof kit !== 'object' || kit === null) throw new Failure('kit.json is not an object');
  const of = (name: string): string | null => {
    const value: unknown = Reflect.get(kit, name);
    return typeof value === 'string' ? value : null;
  };
  return { version: of('version'), commit: of('commit'), ptxSha256: of('ptxSha256') };
}

function numberOrNull(text: string | undefined): number | null {
  const value = Number(text);
  return text === undefined || !Number.isFinite(value) ? null : value;
}
