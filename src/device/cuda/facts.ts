import type { DeviceInfo, ResidencyFacts } from '../types.js';
import type { DeviceRecord, DriverInfo } from './addon.js';
import { REPLACED_KERNELS_MARK } from './kernels.js';

/** Facts from the environment, in addition to the driver's answers. */
export interface DriverOrigin {
  /** The library was named by VRAM_RESIDENCY_LIBCUDA. */
  readonly driverOverride: boolean;
  /** The system may page device memory out (WSL2, WDDM). */
  readonly pageable: boolean | null;
  /** The file of cuInit; null if the kernel does not report it. */
  readonly file: string | null;
  /**
   * Why the files of the driver prove nothing: completes "the driver ..."; null if they are the system's, or trusted in
   * code.
   */
  readonly doubt: string | null;
  /** The kernels in use: form and SHA-256. */
  readonly kernels: string;
  readonly kernelsReplaced: boolean;
}

/** The driver's attributes of the pointer to a probe allocation. */
export interface PointerInfo {
  readonly memoryType: number;
  readonly managed: boolean;
}

const MEMORY_TYPES: ReadonlyMap<number, 'host' | 'device' | 'managed'> = new Map([
  [1, 'host'],
  [2, 'device'],
  [4, 'managed'],
]);

/** The driver's answers about a device, as facts for the policy; `pointer` is null if the probe failed. */
export function deviceInfo(
  driver: DriverInfo,
  record: DeviceRecord,
  pointer: PointerInfo | null,
  origin: DriverOrigin,
): DeviceInfo {
  const execution = driver.emulated ? 'emulated' : 'hardware';
  const facts: ResidencyFacts = {
    backend: 'cuda',
    execution,
    integrated: record.integrated,
    memoryType: pointerType(pointer),
    fallbackAdapter: null,
    pageable: origin.pageable,
    computeCapability: { major: record.major, minor: record.minor },
    totalBytes: record.totalBytes,
    driverOverride: origin.driverOverride,
    driverFile: origin.file,
    driverDoubt: origin.doubt,
    kernelsReplaced: origin.kernelsReplaced,
  };
  return {
    backend: 'cuda',
    index: record.index,
    name: origin.kernelsReplaced ? record.name + REPLACED_KERNELS_MARK : record.name,
    uuid: record.uuid,
    driver: `CUDA ${cudaVersion(driver.version)} (${driver.path}), PCI ${record.pciBusId}, kernels ${origin.kernels}`,
    execution,
    ecc: record.eccEnabled ? 'on' : 'off',
    facts,
  };
}

function pointerType(pointer: PointerInfo | null): ResidencyFacts['memoryType'] {
  if (pointer === null) return null;
  return pointer.managed ? 'managed' : (MEMORY_TYPES.get(pointer.memoryType) ?? null);
}

/** `12.4` of 12040. */
export function cudaVersion(version: number): string {
  return `${Math.floor(version / 1000)}.${Math.floor((version % 1000) / 10)}`;
}
