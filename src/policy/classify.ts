import type { ResidencyFacts } from '../device/index.js';

/** Where a device's memory lives, as far as it is known; see docs/architecture.md, "Words". */
export type Residency = 'device-local' | 'unified' | 'unproven' | 'host';

export interface Classification {
  readonly residency: Residency;
  /** One sentence for people: what decided. */
  readonly why: string;
}

/** Oldest compute capability the kernels are built for. */
const MIN_COMPUTE = { major: 7, minor: 5 };
/** Less is a slice or a misreport, not a GPU that serves models. */
const MIN_TOTAL_BYTES = 2 ** 30;

/**
 * The residency class that these facts prove, and why. The strongest objection wins: known host memory is `host` whatever
 * else is claimed, and a missing fact never counts as proof.
 */
export function classify(facts: ResidencyFacts): Classification {
  return hostMemory(facts) ?? unifiedMemory(facts) ?? unprovenMemory(facts) ?? DEVICE_LOCAL;
}

const DEVICE_LOCAL: Classification = {
  residency: 'device-local',
  why: 'the driver reports a discrete GPU, and a probe allocation lies in its own memory',
};

function hostMemory(facts: ResidencyFacts): Classification | null {
  if (facts.backend === 'host') return host('weights are kept in host memory, not in VRAM');
  if (facts.execution === 'emulated') return host('an emulated driver keeps the weights in host memory');
  if (facts.execution === 'software') return host('the adapter runs on the CPU: its memory is host memory');
  if (facts.fallbackAdapter === true) return host('the adapter is a CPU fallback: its memory is host memory');
  if (facts.memoryType === 'host') return host('the driver says that a probe allocation lies in host memory');
  return null;
}

function unifiedMemory(facts: ResidencyFacts): Classification | null {
  if (facts.memoryType === 'managed') {
    return unified('the driver says that a probe allocation is managed memory, which may move to the host');
  }
  if (facts.integrated === true) return unified('the GPU is integrated: it shares its memory with the CPU');
  return null;
}

function unprovenMemory(facts: ResidencyFacts): Classification | null {
  if (facts.backend === 'webgpu') return unproven('WebGPU does not tell where memory lives');
  if (facts.driverOverride)
    return unproven("the driver library is not the system's, so what it reports proves nothing");
  if (facts.driverFile === null) return unproven('it is not known which file the driver was loaded from');
  if (facts.driverDoubt !== null) return unproven(`the driver ${facts.driverDoubt}`);
  if (facts.pageable !== false) {
    return unproven(
      facts.pageable === true
        ? 'under WSL2 or WDDM the system may page device memory out to the host'
        : 'it is not known whether the system may page device memory out',
    );
  }
  if (facts.integrated === null)
    return unproven('the driver does not say whether the GPU has memory of its own');
  if (facts.memoryType === null) return unproven('the driver does not say where a probe allocation lies');
  if (facts.computeCapability === null) return unproven('the driver does not report a compute capability');
  if (isBelow(facts.computeCapability, MIN_COMPUTE)) {
    const { major, minor } = facts.computeCapability;
    return unproven(
      `compute capability ${major}.${minor} is below ${MIN_COMPUTE.major}.${MIN_COMPUTE.minor}`,
    );
  }
  if (facts.totalBytes === null) return unproven('the driver does not report the size of device memory');
  if (facts.totalBytes < MIN_TOTAL_BYTES) return unproven('the device has less than 1 GiB of memory');
  return null;
}

function isBelow(found: { major: number; minor: number }, least: { major: number; minor: number }): boolean {
  return found.major < least.major || (found.major === least.major && found.minor < least.minor);
}

const host = (why: string): Classification => ({ residency: 'host', why });
const unified = (why: string): Classification => ({ residency: 'unified', why });
const unproven = (why: string): Classification => ({ residency: 'unproven', why });
