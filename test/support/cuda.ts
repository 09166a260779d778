import { spawnSync } from 'node:child_process';
import { execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import type { Addon } from '../../src/device/cuda/index.js';
import type { Backend } from '../../src/device/types.js';
import { type NodeCudaOptions, nodeCudaBackend } from '../../src/node/devices/cuda/backend.js';
import { loadAddon } from '../../src/node/devices/cuda/loader.js';
import { buildFolder } from './sanitizer.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const NO_COMPILER = 3;

export interface EmulatedDevice {
  readonly name?: string;
  readonly major?: number;
  readonly minor?: number;
  readonly integrated?: boolean;
  readonly managed?: boolean;
  readonly ecc?: boolean;
  /** Virtual memory management. */
  readonly vmm?: boolean;
  /** Memory can be exported as a descriptor. */
  readonly posixHandles?: boolean;
  /** What pointer attributes say: 1 host, 2 device, 4 unified. */
  readonly memoryType?: number;
  readonly totalBytes?: number;
  readonly usedByOthers?: number;
}

export interface EmulatorSettings {
  readonly devices?: readonly EmulatedDevice[];
  readonly driverVersion?: number;
  /** What cuInit answers. */
  readonly initResult?: number;
  readonly granularity?: number;
  /** Stores to read-only mappings go through. */
  readonly ignoreReadOnly?: boolean;
}

export interface LiveAllocations {
  readonly memory: number;
  readonly physical: number;
  readonly reservations: number;
  readonly mappings: number;
  readonly pinned: number;
  readonly streams: number;
  readonly modules: number;
  readonly contexts: number;
  /** Taken along by a destroyed context. */
  readonly abandoned: number;
  readonly total: number;
}

/** What the test driver remembers: read, never changed. */
export interface Accounts {
  /** Driver functions that were called since reset, with their counts. */
  calls(): Readonly<Record<string, number>>;
  liveAllocations(): LiveAllocations;
  /** Device memory in order of creation. */
  allocations(): readonly { readonly device: number; readonly bytes: number }[];
  peek(allocation: number, offset: number, length: number): Uint8Array;
  pendingCopies(): number;
  /** Bytes of pinned memory that are not zero. */
  pinnedResidue(): number;
  /** Pieces of device memory that went back since reset, and those of them with something in them. */
  freed(): number;
  freedUnwiped(): number;
  /** Waits for the device that were made on a thread that runs JavaScript. */
  waitsOnEventLoop(): number;
  lastFault(): string;
}

/** The test driver's controls: the same library, opened as an addon in the same process. */
export interface Emulator extends Accounts {
  /** A fresh driver with these settings; what was alive is forgotten. */
  reset(settings?: EmulatorSettings): void;
  configure(settings: EmulatorSettings): void;
  /**
   * The n-th call from now of a driver function fails. With `effect` it does its work all the same, as calls that free do by
   * default.
   */
  failCall(name: string, nth: number, result: number, effect?: boolean): void;
  injections(): readonly { readonly name: string; readonly nth: number; readonly reached: boolean }[];
  flip(allocation: number, byte: number, mask: number): void;
  loseDevice(index?: number, result?: number): void;
  eccError(index?: number): void;
}

/** What the groups of test/cuda work with: the test driver here, a real driver in the hardware kit (scripts/kit/suites). */
export interface PresentTestbed {
  readonly missing: null;
  readonly addon: Addon;
  /** On a real driver every call ends the case as skipped, except a reset without settings, which does nothing there. */
  readonly emulator: Emulator;
  /** For checks that are made only where the driver keeps accounts; null on a real driver. */
  readonly accounts: Accounts | null;
  readonly addonPath: string;
  /** null: the driver of the system. */
  readonly libraryPath: string | null;
  /** The device under test. */
  readonly index: number;
  /** Bytes of device memory that a real driver may take for itself meanwhile; 0 on the test driver. */
  readonly slackBytes: number;
  backend(options?: NodeCudaOptions): Backend;
  /** What was taken from the driver and has not come back, in words; null if nothing. */
  leftBehind(): Promise<string | null>;
  /** Ends the case as skipped on a real driver, for this reason. */
  requireTestDriver(reason: string): void;
  /** Said first by a case that voids the CUDA context of its process: on a real driver it runs in a process of its own. */
  requireOwnProcess(): void;
}

interface EmulatedTestbed extends PresentTestbed {
  readonly accounts: Accounts;
  readonly libraryPath: string;
}

export type CudaTestbed = EmulatedTestbed | { readonly missing: string };

let testbed: Promise<CudaTestbed> | undefined;

/**
 * Addon and test driver, built on first use; `missing` says why they cannot be had. A build that fails for another reason
 * throws.
 */
export function cudaTestbed(): Promise<CudaTestbed> {
  testbed ??= build();
  return testbed;
}

/**
 * The CUDA backend over the test driver, as just reset; null where it cannot be built, with the reason told by
 * cudaTestbed().
 */
export async function testCudaBackend(settings?: EmulatorSettings): Promise<Backend | null> {
  const bed = await cudaTestbed();
  if (bed.missing !== null) return null;
  bed.emulator.reset(settings);
  return bed.backend();
}

async function build(): Promise<CudaTestbed> {
  const missing = make('build-native.mjs') ?? make('build-emulator.mjs');
  if (missing !== null) return { missing };
  // A build for the sanitizers is tested by the same tests.
  const addonPath = `${root}native/${buildFolder}/vram_residency.node`;
  const libraryPath = `${root}native/emulator/${buildFolder}/libcuda.so.1`;
  const signs = { kernelRelease: '6.1.0-generic', dxg: false };
  const emulator = control(libraryPath);
  return {
    missing: null,
    addon: await loadAddon([addonPath]),
    emulator,
    accounts: emulator,
    addonPath,
    libraryPath,
    index: 0,
    slackBytes: 0,
    backend: (options = {}) => nodeCudaBackend({ libraryPath, addonPaths: [addonPath], signs, ...options }),
    leftBehind: async () => leftBehind(emulator),
    requireTestDriver: () => undefined,
    requireOwnProcess: () => undefined,
  };
}

function leftBehind(accounts: Accounts): string | null {
  const { total } = accounts.liveAllocations();
  if (total !== 0) return `${total} allocations of the driver are alive`;
  const unwiped = accounts.freedUnwiped();
  return unwiped === 0 ? null : `${unwiped} pieces of device memory went back with something in them`;
}

/** Null if it is built, else the reason. */
function make(script: string): string | null {
  const result = spawnSync(execPath, [`${root}scripts/${script}`], { encoding: 'utf8' });
  if (result.status === 0) return null;
  if (result.status === NO_COMPILER) return result.stderr.trim();
  throw new Error(`${script} failed:\n${result.stdout}${result.stderr}`);
}

function control(libraryPath: string): Emulator {
  const holder: { exports: unknown } = { exports: {} };
  process.dlopen(holder, libraryPath);
  if (!isEmulator(holder.exports)) throw new Error('the test driver has no controls');
  return holder.exports;
}

function isEmulator(value: unknown): value is Emulator {
  const names = [
    'reset',
    'configure',
    'failCall',
    'injections',
    'calls',
    'liveAllocations',
    'allocations',
    'flip',
    'peek',
    'loseDevice',
    'eccError',
    'pendingCopies',
    'pinnedResidue',
    'freed',
    'freedUnwiped',
    'waitsOnEventLoop',
    'lastFault',
  ];
  return (
    typeof value === 'object' &&
    value !== null &&
    names.every((name) => typeof Reflect.get(value, name) === 'function')
  );
}
