// Replaces test/support/cuda.ts in the bundle: the same testbed over the driver of this machine, or over the one that
// VRAM_RESIDENCY_LIBCUDA names.
import { env } from 'node:process';
import type { DeviceInfo } from '../../../src/device/types.js';
import { nodeCudaBackend } from '../../../src/node/devices/cuda/backend.js';
import { loadAddon } from '../../../src/node/devices/cuda/loader.js';
import type { Emulator, PresentTestbed } from '../../../test/support/cuda.js';
import { CaseSkipped, NeedsOwnProcess } from './outcome.js';

/** Allowance for memory that the driver itself takes during a suite. An estimate: not measured on a GPU yet. */
const SLACK_BYTES = 16 * 1024 * 1024;

export interface DriverOptions {
  readonly addonPath: string;
  /** The CUDA device, as the driver counts. */
  readonly index: number;
  /** This process runs one case alone, which may void its context. */
  readonly ownProcess: boolean;
}

export interface DriverTestbed extends PresentTestbed {
  readonly accounts: null;
  readonly info: DeviceInfo;
  close(): Promise<void>;
}

let opened: DriverTestbed | null = null;

/**
 * The testbed of this process. It keeps a device open: the context stays alive, and what a case leaves behind shows in the
 * driver's free bytes. Errors: those of loadAddon and Backend.open.
 */
export async function openTestbed({ addonPath, index, ownProcess }: DriverOptions): Promise<DriverTestbed> {
  const addon = await loadAddon([addonPath]);
  const backend = nodeCudaBackend({ addonPaths: [addonPath] });
  const witness = await backend.open(index);
  const freeBytes = async () => (await witness.capacity()).freeBytes ?? 0;
  const freeAtFirst = await freeBytes();
  opened = {
    missing: null,
    addon,
    emulator: refusing,
    accounts: null,
    addonPath,
    libraryPath: env['VRAM_RESIDENCY_LIBCUDA'] || null,
    index,
    slackBytes: SLACK_BYTES,
    info: witness.info,
    backend: (options = {}) => nodeCudaBackend({ addonPaths: [addonPath], ...options }),
    leftBehind: async () => {
      // Since the suite began, not since the case did: small leaks add up.
      const missing = freeAtFirst - (await freeBytes());
      return missing <= SLACK_BYTES ? null : `${missing} bytes of device memory have not come back`;
    },
    requireTestDriver: (reason) => {
      throw new CaseSkipped(reason);
    },
    requireOwnProcess: () => {
      if (!ownProcess) throw new NeedsOwnProcess();
    },
    close: () => witness.close(),
  };
  return opened;
}

/** Called by the groups. Errors: Error before openTestbed(). */
export async function cudaTestbed(): Promise<PresentTestbed> {
  if (opened === null) throw new Error('openTestbed() comes first');
  return opened;
}

function refuse(reason: string): () => never {
  return () => {
    throw new CaseSkipped(reason);
  };
}

const injects = refuse('injects faults through the test driver');
const asks = refuse("asks the test driver's accounts");
const setsUp = refuse('sets up the test driver');

const refusing: Emulator = {
  reset: (settings = {}) => {
    if (Object.keys(settings).length > 0) setsUp();
  },
  configure: setsUp,
  failCall: injects,
  flip: injects,
  loseDevice: injects,
  eccError: injects,
  injections: asks,
  calls: asks,
  liveAllocations: asks,
  allocations: asks,
  peek: asks,
  pendingCopies: asks,
  pinnedResidue: asks,
  freed: asks,
  freedUnwiped: asks,
  waitsOnEventLoop: asks,
  lastFault: asks,
};
