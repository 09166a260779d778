import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export interface EmulatedDevice {
  readonly name?: string;
  readonly major?: number;
  readonly minor?: number;
  readonly integrated?: boolean;
  readonly managed?: boolean;
  readonly ecc?: boolean;
  readonly vmm?: boolean;
  /** Memory can be exported as a descriptor. */
  readonly posixHandles?: boolean;
  readonly tcc?: boolean;
  /** CUmemorytype that pointer attributes give: 1 host, 2 device, 4 unified. */
  readonly memoryType?: number;
  readonly totalBytes?: number;
  /** Bytes that the rest of the system holds. */
  readonly usedByOthers?: number;
  readonly multiprocessors?: number;
}

export interface EmulatorConfig {
  /** One device with 4 GiB, compute capability 9.0, unless given. */
  readonly devices?: readonly EmulatedDevice[];
  /** As cuDriverGetVersion gives it: 12080 for CUDA 12.8 (the default). */
  readonly driverVersion?: number;
  /** What cuInit answers. */
  readonly initResult?: number;
  /** Copies of pinned memory happen when their stream is waited for; default true. */
  readonly deferCopies?: boolean;
  /** cuMemSetAccess to read-only is accepted and leaves the memory writable. */
  readonly ignoreReadOnly?: boolean;
  /** Bytes; 2 MiB unless given. */
  readonly granularity?: number;
  /** Instructions one warp may run before the launch times out. */
  readonly instructionBudget?: number;
  /** Host threads that run a grid. */
  readonly workers?: number;
}

export interface LiveAllocations {
  readonly memory: number;
  readonly physical: number;
  readonly reservations: number;
  readonly mappings: number;
  readonly pinned: number;
  readonly streams: number;
  readonly events: number;
  readonly modules: number;
  readonly contexts: number;
  /** What a context took with it because nobody had released it before: leaks, too. */
  readonly abandoned: number;
  readonly total: number;
}

/** An argument of a driver function: typed arrays and strings go by address, null as zero. */
export type DriverArgument = number | bigint | string | Uint8Array | BigUint64Array | Int32Array | null;

/** The test driver's own controls: one state for the whole process, whoever opened the library. */
export interface EmulatorControl {
  /** Forgets everything that is alive, all counts and injections. */
  reset(config?: EmulatorConfig): void;
  /** Changes settings under whatever is alive. */
  configure(config: EmulatorConfig): void;
  /**
   * The `nth` call from now on (1: the next) answers `code`. It does nothing else, unless it releases something (or `effect`
   * is true): then, as with the real driver, the work is done and the error reported.
   */
  failCall(name: string, nth: number, code: number, effect?: boolean): void;
  injections(): readonly { name: string; nth: number; code: number; reached: boolean }[];
  calls(): Readonly<Record<string, number>>;
  liveAllocations(): LiveAllocations;
  /** Device memory in order of creation. */
  allocations(): readonly { device: number; bytes: number }[];
  flip(allocationIndex: number, byte: number, mask: number): void;
  peek(allocationIndex: number, offset: number, length: number): Uint8Array;
  /** Every call on the device answers `code` (999, CUDA_ERROR_UNKNOWN, unless given) from now on. */
  loseDevice(device?: number, code?: number): void;
  /** CUDA_ERROR_ECC_UNCORRECTABLE, sticky. */
  eccError(device?: number): void;
  pendingCopies(): number;
  /** Bytes of pinned memory that are not zero. */
  pinnedResidue(): number;
  /** Allocations of device memory that went back with something in them, since reset(). */
  freedUnwiped(): number;
  /** Waits for the device on threads that run JavaScript. */
  waitsOnEventLoop(): number;
  /** What the last fault or refused PTX was, for people. */
  lastFault(): string;
  /** Calls a driver function; its CUresult. */
  call(name: string, ...args: DriverArgument[]): number;
  addressOf(array: Uint8Array | BigUint64Array): bigint;
  writePinned(address: bigint, bytes: Uint8Array): void;
  readPinned(address: bigint, length: number): Uint8Array;
}

export interface Emulator {
  /** Of the fake libcuda.so.1: for VRAM_RESIDENCY_LIBCUDA. */
  readonly path: string;
  readonly control: EmulatorControl;
}

function isControl(exports: object): exports is EmulatorControl {
  return ['reset', 'failCall', 'liveAllocations', 'call'].every(
    (name) => typeof Reflect.get(exports, name) === 'function',
  );
}

/** Compiles the test driver if need be and opens it. null: this machine has no C++ compiler. */
export function openEmulator(): Emulator | null {
  const script = fileURLToPath(new URL('../../scripts/build-emulator.mjs', import.meta.url));
  const built = spawnSync(process.execPath, [script], { encoding: 'utf8' });
  if (built.status === 3) return null;
  const path = process.env['VRAM_EMULATOR_LIBRARY'] ?? built.stdout.trim().split('\n').at(-1);
  if (built.status !== 0 || path === undefined) {
    throw new Error(`build-emulator failed:\n${built.stdout}${built.stderr}`);
  }
  const holder = { exports: {} };
  process.dlopen(holder, path);
  if (!isControl(holder.exports)) throw new Error(`${path} has no controls`);
  return { path, control: holder.exports };
}

/** For the names of test groups: says loudly why they are skipped. */
export const NO_COMPILER = 'SKIPPED without a C++ compiler';
