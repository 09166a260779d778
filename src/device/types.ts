import type { ErrorCode } from '../base/index.js';
import type { FillNatively } from '../digest/index.js';

/** Where a region's memory lies. */
export type BackendKind = 'cuda' | 'webgpu' | 'host';

/** The processor that runs the kernels: a real GPU, a CPU (software Vulkan, host), or a test driver. */
export type KernelExecution = 'hardware' | 'software' | 'emulated';

/** How the region is protected from writes after freeze; see docs/architecture.md, "Words". */
export type Immutability = 'mmu-readonly' | 'usage-locked' | 'api-only';

/** Facts about where this device's memory lives. null = the platform does not say. */
export interface ResidencyFacts {
  readonly backend: BackendKind;
  readonly execution: KernelExecution;
  /** The GPU shares its memory with the CPU (driver attribute, or the adapter's type). */
  readonly integrated: boolean | null;
  /** Memory type of a probe allocation, from the driver's pointer attributes. */
  readonly memoryType: 'device' | 'managed' | 'host' | null;
  /** WebGPU: the adapter is a CPU. */
  readonly fallbackAdapter: boolean | null;
  /** The driver runs under WSL2 or WDDM, where the system may page device memory out. */
  readonly pageable: boolean | null;
  readonly computeCapability: { readonly major: number; readonly minor: number } | null;
  readonly totalBytes: number | null;
  /** The driver library was not the system's: VRAM_RESIDENCY_LIBCUDA was set, or mock mode was forced. */
  readonly driverOverride: boolean;
  /**
   * CUDA: the file that the driver library was loaded from, links resolved; null where the system does not report it,
   * and on other backends.
   */
  readonly driverFile: string | null;
  /**
   * CUDA: why that file, or another that the driver loaded, need not be the system's own; completes "the driver ...". Null
   * if all lie where the system keeps its driver, or where root alone can write, or were named by `driverPaths`; and on
   * other backends.
   */
  readonly driverDoubt: string | null;
  /**
   * Whether kernels other than this package's are loaded. Then the device's name ends in ` [replaced kernels]`, in
   * seals and statements too.
   */
  readonly kernelsReplaced: boolean;
}

/** The description of a device. */
export interface DeviceInfo {
  readonly backend: BackendKind;
  readonly index: number;
  readonly name: string;
  /** The device's own UUID, in the driver's notation; null where there is none. */
  readonly uuid: string | null;
  /** Driver name and version as the platform reports them; null where it does not. */
  readonly driver: string | null;
  readonly execution: KernelExecution;
  readonly ecc: 'on' | 'off' | 'unknown';
  readonly facts: ResidencyFacts;
}

/** `cuda:0`, `webgpu:0`, `host`. */
export function deviceId(info: Pick<DeviceInfo, 'backend' | 'index'>): string {
  return info.backend === 'host' ? 'host' : `${info.backend}:${info.index}`;
}

/** Bytes. Never invented: null where the platform does not say. */
export interface DeviceCapacity {
  readonly totalBytes: number | null;
  readonly freeBytes: number | null;
  readonly source: 'driver' | 'system' | 'none';
}

/** Counters of this device object, for accounting and tests. Bytes. */
export interface DeviceStats {
  readonly liveRegions: number;
  readonly liveBytes: number;
  /** Wiped memory of released regions, held for reuse; freed when it is needed. */
  readonly pooledBytes: number;
  /** The one scratch pool, reserved at open. */
  readonly scratchBytes: number;
  /** Bytes copied from device to host since open, by any path. */
  readonly readbackBytes: number;
  readonly uploadedBytes: number;
}

/** Why a device ended. */
export interface DeviceLost {
  /** 'closed' when close() was called. */
  readonly reason: 'closed' | 'lost';
  readonly message: string;
}

/** How a device is opened. */
export interface OpenOptions {
  /** Bytes of sealed data hashed in one run of the tree; the platform's binding limit caps it. At least 4096. */
  readonly windowBytes?: number | undefined;
  /** Regions get a fault port. */
  readonly drills?: boolean | undefined;
}

/** Options of a platform's backends. */
export interface BackendOptions {
  /** Absolute paths of driver files, or of folders, that are trusted besides the system's own: CUDA in Node. */
  readonly driverPaths?: readonly string[];
}

/** Why a backend or one of its devices cannot be used, for `vram-residency devices`. */
export interface BackendProblem {
  readonly backend: BackendKind;
  readonly message: string;
  readonly code: ErrorCode;
  /**
   * True for something installed that does not work, such as a driver that does not load; false if nothing of the kind
   * is installed.
   */
  readonly failed: boolean;
}

/** A kind of device: lists and opens its devices. */
export interface Backend {
  readonly kind: BackendKind;
  /** Devices present; empty if none. Does not throw for a missing driver: see `problem`. */
  list(): Promise<readonly DeviceInfo[]>;
  /** Why list() is empty, in one sentence with what would help; null if it is not. */
  problem(): Promise<BackendProblem | null>;
  /**
   * Opens the device and proves known answers on it (CI-011). Errors: INVALID_INPUT (lists the devices present),
   * DEVICE_UNAVAILABLE.
   */
  open(index: number, options?: OpenOptions): Promise<Device>;
}

/** How a region is allocated. */
export interface AllocateOptions {
  /**
   * Offsets at which buffers begin: ascending multiples of 4096, the first 0, all below the region's length. Where
   * `cutLimits` is null a region is one mapping whatever its cuts, and they are only checked.
   */
  readonly cuts?: readonly number[] | undefined;
  /**
   * Memory that can be handed to other processes, which map it with rights of their own choice: `Region.shared`. CUDA
   * alone.
   */
  readonly share?: boolean | undefined;
  /** Maximum bytes that the device may keep for reuse; default: its own limit. */
  readonly maxPooledBytes?: number | undefined;
}

/** Memory that other processes can map. Opaque except to the code that hands it over. */
export interface SharedMemory {
  /** Bytes that an importer maps: the region's, rounded up to the driver's granularity. */
  readonly mappedBytes: number;
}

/** Limits of `cuts` on a device. */
export interface CutLimits {
  /** Largest run of bytes from one cut to the next. */
  readonly maxRunBytes: number;
  /** The most buffers of one region. */
  readonly maxBuffers: number;
}

/** An open device: it allocates, counts and hashes regions. */
export interface Device {
  readonly info: DeviceInfo;
  /** null where cuts make no separate buffers. */
  readonly cutLimits: CutLimits | null;
  /** Total and used memory, now. */
  capacity(): Promise<DeviceCapacity>;
  /** Counted since the device was opened. */
  stats(): DeviceStats;
  /**
   * Device bytes that a region of `byteLength` would take: segments rounded up to whole blocks and the platform's
   * granularity.
   */
  allocationBytes(byteLength: number): number;
  /**
   * Zero-filled past the last byte to the end of its block. Cuts change neither the bytes it takes nor their tree.
   * Errors: INVALID_INPUT (also for cuts beyond `cutLimits`, and for `share` where the device cannot), ALLOCATION_FAILED,
   * INSUFFICIENT_VRAM, DEVICE_LOST.
   */
  allocate(byteLength: number, options?: AllocateOptions): Promise<Region>;
  /** Resolves when the device ends; never rejects. */
  readonly lost: Promise<DeviceLost>;
  /** Releases live regions (wiped) first. Safe to call twice. An adopted GPUDevice is not destroyed. */
  close(): Promise<void>;
}

/** The tree's top, hashed in place. */
export interface TreeRoot {
  /** 32 bytes. */
  readonly root: Uint8Array;
  /** Blocks hashed, counted on the device. */
  readonly blocks: number;
}

export interface RunOptions {
  readonly signal?: AbortSignal | undefined;
}

/** How a root is computed. */
export interface RootOptions extends RunOptions {
  /**
   * Called with the bytes hashed so far: more each time, and the region's length once the run is proved. Intermediate
   * calls happen only where the run waits for the device anyway, so a region of few windows has none. Never called after
   * `signal` has fired. Must not throw.
   */
  readonly onProgress?: ((bytes: number) => void) | undefined;
}

/**
 * A shard's private range of device memory. Errors of every method: INVALID_INPUT for a bad offset or length or a call in
 * the wrong state (NOT_FOUND after release), DEVICE_UNAVAILABLE for a run that did not happen, DEVICE_LOST.
 */
export interface Region {
  readonly byteLength: number;
  readonly allocatedBytes: number;
  /**
   * Before freeze only. `bytes` may be reused when the promise resolves. Calls may overlap; they are carried out in order.
   */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /**
   * As write(), by native code that reads the bytes from a file, past JavaScript. Calls may overlap, if their ranges do
   * not. Absent where the memory is out of native code's reach. Errors: those of `fill` too.
   */
  readonly fillNatively?: FillNatively | undefined;
  /**
   * Waits for all writes, then prevents further ones by the strongest means available. A second call gives the same
   * result.
   */
  freeze(): Promise<Immutability>;
  /** In place. After freeze only. Reads back the root, its count and its canary, nothing more. */
  root(options?: RootOptions): Promise<TreeRoot>;
  /** In place. Nodes [first, first + count) of a level, 32 bytes each; level 0 = leaves, level 1 = groups. */
  nodes(level: number, first: number, count: number, options?: RunOptions): Promise<Uint8Array>;
  /**
   * Healing only, after freeze: replaces one block (the last one's real bytes). Read-only access is restored on every path.
   */
  patch(block: number, bytes: Uint8Array): Promise<void>;
  /** Reads resident bytes back to the host. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Read-only, for a lease. After freeze only. */
  view(offset: number, length: number): DeviceBinding;
  /** Only on devices opened with `drills`. */
  readonly faults: FaultPort | null;
  /** Where it was allocated with `share`; else null. */
  readonly shared: SharedMemory | null;
  /**
   * Abandons memory that another process still maps: unmaps it here without overwriting it. The driver frees it when the
   * last mapping goes. Replaces release() and is as final. Errors: RELEASE_FAILED.
   */
  abandon(): Promise<void>;
  /**
   * Overwrites with zeros, then frees the memory. Safe to call twice. Errors: RELEASE_FAILED (the memory's accounting
   * is closed all the same).
   */
  release(): Promise<void>;
}

/** Deliberate damage that bypasses every lock. Bytes up to the end of the padded last block may be hit. */
export interface FaultPort {
  flip(byte: number, mask: number): Promise<void>;
}

/** A range of a shard, in bytes. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/** Common to all bindings: ends with its lease; every call after that throws NOT_FOUND. */
interface Binding {
  readonly byteLength: number;
  /** Waits for work that was submitted through the binding. */
  end(): Promise<void>;
}

/** A lease's binding to a host region. */
export interface HostBinding extends Binding {
  readonly kind: 'host';
  /** A copy of the leased bytes. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** A lease's binding to a WebGPU region. */
export interface WebGpuBinding extends Binding {
  readonly kind: 'webgpu';
  readonly device: GPUDevice;
  /** One read-only storage buffer at binding 0. */
  readonly layout: GPUBindGroupLayout;
  /**
   * One group for every segment that the range touches. `byteOffset` is where the requested bytes begin inside the bound
   * buffer: binding offsets are aligned.
   */
  bindings(range?: ByteRange): readonly {
    readonly group: GPUBindGroup;
    readonly byteOffset: number;
    readonly byteLength: number;
  }[];
  /**
   * The buffer that begins at cut `index` of the region, for engines that bind buffers themselves. Its usage is STORAGE
   * alone, but its holder can bind it writable: only a later verification notices. Errors: INVALID_INPUT for a region
   * without cuts and for a buffer that the lease does not hold in full.
   */
  bufferAt(index: number): GPUBuffer;
}

/** Device memory of a lease, freed with it. Opaque: it shows no address. */
export interface CudaScratch {
  readonly byteLength: number;
  /** Overwrites all `byteLength` bytes. */
  write(bytes: Uint8Array): Promise<void>;
  /** A copy of all bytes. */
  read(): Promise<Uint8Array>;
}

/** An argument of a kernel: weights or scratch by their place, or a number. */
export type CudaArgument =
  | { readonly weights: ByteRange }
  | { readonly scratch: CudaScratch }
  | { readonly u32: number }
  | { readonly f32: number };

/** One launch of a caller's kernel. */
export interface CudaLaunch {
  /** PTX text. */
  readonly module: string;
  readonly entry: string;
  readonly grid: readonly [number, number, number];
  readonly block: readonly [number, number, number];
  readonly args: readonly CudaArgument[];
}

/** A lease's binding to a CUDA region. */
export interface CudaBinding extends Binding {
  readonly kind: 'cuda';
  /** Queues a kernel behind those before it. Reading scratch waits for it, and so does the end of the lease. */
  launch(launch: CudaLaunch): Promise<void>;
  /** Device memory of the caller, zero-filled, until the lease ends. */
  scratch(byteLength: number): Promise<CudaScratch>;
}

/** The bindings of a lease, by backend. */
export type DeviceBinding = HostBinding | WebGpuBinding | CudaBinding;
