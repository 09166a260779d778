import type { NativeSink } from '../../digest/index.js';
import type { KernelImage } from './kernels.js';

/** Handles are opaque: what they refer to, device addresses above all, stays inside the addon (MS-001). */
declare const kind: unique symbol;
export interface DriverHandle {
  readonly [kind]: 'driver';
}
export interface DeviceHandle {
  readonly [kind]: 'device';
}
export interface MemoryHandle {
  readonly [kind]: 'memory';
}
export interface ModuleHandle {
  readonly [kind]: 'module';
}
/** A file descriptor owned by the addon, which keeps its number. Closed when consumed or garbage-collected. */
export interface DescriptorHandle {
  readonly [kind]: 'descriptor';
}

export interface DriverInfo {
  /**
   * The file that the library was loaded from, links resolved, as the kernel reports it; otherwise the requested name.
   */
  readonly path: string;
  /** 1000 * major + 10 * minor of the newest CUDA version that the driver supports. */
  readonly version: number;
  /** The library identifies itself as a test driver. */
  readonly emulated: boolean;
}

/** One device as the driver describes it. */
export interface DeviceRecord {
  readonly index: number;
  readonly name: string;
  readonly uuid: string;
  readonly pciBusId: string;
  readonly totalBytes: number;
  /** Compute capability. */
  readonly major: number;
  readonly minor: number;
  readonly integrated: boolean;
  readonly managedMemory: boolean;
  readonly eccEnabled: boolean;
  /** Windows: the device runs in TCC mode, not WDDM. */
  readonly tccDriver: boolean;
  /** Memory can be mapped with separate access rights. */
  readonly virtualMemory: boolean;
}

export type KernelArgument =
  | { readonly memory: MemoryHandle; readonly offset: number; readonly length: number }
  | { readonly u32: number }
  | { readonly u64: number }
  | { readonly f32: number };

/** Access rights as the driver reports them (CUmemAccess_flags). */
export const ACCESS_READ = 1;

/**
 * native/: mechanism without policy. Each device has one thread, which carries out all calls on it in order, and every
 * promise rejects with a NativeFailure. Offsets and lengths are bytes, checked against the memory's size.
 */
export interface Addon {
  readonly interfaceVersion: number;
  /** Opens the driver library; null means the system's. */
  load(path: string | null): Promise<DriverHandle>;
  driverInfo(driver: DriverHandle): DriverInfo;
  /**
   * Every file that holds code of the driver now, as the kernel reports them: of each function that the addon calls, and
   * of the libraries that the driver has loaded. An empty string means code without a file; an empty list means
   * that the kernel does not report.
   */
  driverFiles(driver: DriverHandle): Promise<readonly string[]>;
  devices(driver: DriverHandle): Promise<readonly DeviceRecord[]>;
  /** Retains the primary context and takes four pinned buffers of `stagingBytes`. */
  open(driver: DriverHandle, index: number, stagingBytes: number): Promise<DeviceHandle>;
  deviceInfo(device: DeviceHandle): {
    readonly granularity: number;
    readonly virtualMemory: boolean;
    /** Whether the driver exports memory of this device as file descriptors. */
    readonly shareable: boolean;
    readonly stagingBytes: number;
  };
  memoryInfo(device: DeviceHandle): Promise<{ readonly freeBytes: number; readonly totalBytes: number }>;
  /** Waits for kernels, fills and copies within the device. */
  synchronize(device: DeviceHandle): Promise<void>;
  /** Wipes and frees everything; the handle is invalid afterwards, also after a failure. */
  close(device: DeviceHandle): Promise<void>;
  /** `shared`: virtual memory that can be exported. */
  allocate(device: DeviceHandle, bytes: number, virtual: boolean, shared?: boolean): Promise<MemoryHandle>;
  allocationInfo(memory: MemoryHandle): { readonly bytes: number; readonly virtual: boolean };
  /** The driver's pointer attributes: 1 host, 2 device, 4 unified. */
  pointerInfo(memory: MemoryHandle): Promise<{ readonly memoryType: number; readonly managed: boolean }>;
  /** At most `stagingBytes`. Resolves when `bytes` may be reused; the copy may still be in progress until drain(). */
  write(memory: MemoryHandle, offset: number, bytes: Uint8Array): Promise<void>;
  /**
   * Staging memory of `length` bytes, at most `stagingBytes`, for a write whose bytes native code copies in. Throws a
   * NativeFailure.
   */
  reserve(memory: MemoryHandle, length: number): NativeSink;
  /** As write(), with the bytes that were copied to the sink, which is now closed. */
  writeReserved(memory: MemoryHandle, offset: number, sink: NativeSink): Promise<void>;
  /** Withdraws and wipes the sink's memory, unless it is being written. Safe to call twice. */
  closeSink(sink: NativeSink): void;
  /** Waits for all writes and wipes the staging buffers. */
  drain(memory: MemoryHandle): Promise<void>;
  /** Waits for writes and kernels first. */
  read(memory: MemoryHandle, offset: number, length: number): Promise<Uint8Array>;
  /** Started, not waited for. */
  fill(memory: MemoryHandle, offset: number, length: number, value: number): Promise<void>;
  /** Started, not waited for. */
  copy(
    to: MemoryHandle,
    toOffset: number,
    from: MemoryHandle,
    fromOffset: number,
    length: number,
  ): Promise<void>;
  /**
   * Waits for writes, then sets the access rights of virtual memory; resolves to the rights that the driver reports
   * afterwards.
   */
  protect(memory: MemoryHandle, readOnly: boolean): Promise<number>;
  /** Overwrites with zeros, read-only or not, then frees. Imported memory is only unmapped. */
  release(memory: MemoryHandle): Promise<void>;
  /** Unmaps without overwriting: another process maps it. */
  abandon(memory: MemoryHandle): Promise<void>;
  /** A new descriptor of shared memory, for one process. */
  exportMemory(memory: MemoryHandle): Promise<DescriptorHandle>;
  /**
   * Maps the first `bytes` of another process's memory, read-only; a multiple of the granularity. `granted`: the rights
   * that the driver reports. The descriptor may be closed afterwards.
   */
  importMemory(
    device: DeviceHandle,
    descriptor: DescriptorHandle,
    bytes: number,
  ): Promise<{ readonly memory: MemoryHandle; readonly granted: number }>;
  /** At most 64 MiB. The bytes are copied. They must be a fat binary with consistent sizes. */
  loadModule(device: DeviceHandle, kernels: KernelImage): Promise<ModuleHandle>;
  unloadModule(module: ModuleHandle): Promise<void>;
  /** Started, not waited for. */
  launch(
    module: ModuleHandle,
    entry: string,
    grid: readonly [number, number, number],
    block: readonly [number, number, number],
    args: readonly KernelArgument[],
  ): Promise<void>;
}
