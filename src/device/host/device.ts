import { checkInteger, Serial, VramError } from '../../base/index.js';
import { checkCuts } from '../cuts.js';
import { refuseShare } from '../share.js';
import type {
  AllocateOptions,
  Device,
  DeviceCapacity,
  DeviceInfo,
  DeviceLost,
  DeviceStats,
  Region,
} from '../types.js';
import { type BlockHasher, engineKernels } from './kernels.js';
import { HostMemory, paddedLength } from './memory.js';
import type { HostOptions } from './options.js';
import { HostPool } from './pool.js';
import { type HostOwner, HostRegion } from './region.js';
import { HostScratch } from './scratch.js';

/** If free memory is unknown, a larger region is refused without an attempt to allocate it: 1 TiB. */
const MAX_REGION_BYTES = 2 ** 40;

export interface HostDeviceSettings {
  readonly info: DeviceInfo;
  readonly engine: BlockHasher;
  readonly windowBytes: number;
  readonly segmentBytes: number;
  readonly drills: boolean;
  readonly host: HostOptions;
}

/**
 * System memory behind the device interface: the reference implementation for the others, and the fallback without a GPU.
 */
export class HostDevice implements Device {
  readonly info: DeviceInfo;
  readonly cutLimits = null;
  readonly lost: Promise<DeviceLost>;
  readonly #settings: HostDeviceSettings;
  readonly #scratch: HostScratch;
  readonly #pool: HostPool;
  readonly #runs = new Serial();
  readonly #regions = new Set<HostRegion>();
  readonly #owner: HostOwner;
  #resolveLost: (lost: DeviceLost) => void = () => undefined;
  #gone: DeviceLost | null = null;
  #closing: Promise<void> | null = null;
  #readbackBytes = 0;
  #uploadedBytes = 0;

  constructor(settings: HostDeviceSettings) {
    this.info = settings.info;
    this.#settings = settings;
    this.#scratch = new HostScratch(settings.windowBytes);
    this.#pool = new HostPool(settings.host.poolBytes ?? 0);
    this.lost = new Promise((resolve) => {
      this.#resolveLost = resolve;
    });
    this.#owner = this.#asOwner();
    void settings.host.inject?.lost?.then((message) => this.#lose({ reason: 'lost', message }));
  }

  async capacity(): Promise<DeviceCapacity> {
    this.#checkPresent();
    const { totalMemory, freeMemory } = this.#settings.host;
    if (totalMemory === undefined || freeMemory === undefined) {
      return { totalBytes: null, freeBytes: null, source: 'none' };
    }
    const totalBytes = totalMemory();
    // Pooled memory is freed for a region that needs it.
    const freeBytes = Math.min(totalBytes, freeMemory() + this.#pool.byteLength);
    return { totalBytes, freeBytes, source: 'system' };
  }

  stats(): DeviceStats {
    let liveBytes = 0;
    for (const region of this.#regions) liveBytes += region.allocatedBytes;
    return {
      liveRegions: this.#regions.size,
      liveBytes,
      pooledBytes: this.#pool.byteLength,
      scratchBytes: this.#scratch.byteLength,
      readbackBytes: this.#readbackBytes,
      uploadedBytes: this.#uploadedBytes,
    };
  }

  allocationBytes(byteLength: number): number {
    checkInteger('byteLength', byteLength, 1, Number.MAX_SAFE_INTEGER - 4095);
    return paddedLength(byteLength);
  }

  async allocate(byteLength: number, options: AllocateOptions = {}): Promise<Region> {
    const neededBytes = this.allocationBytes(byteLength);
    checkCuts(options.cuts, byteLength);
    refuseShare(options, 'memory of the host device stays in this process');
    this.#checkPresent();
    const { freeBytes: availableBytes } = await this.capacity();
    if (availableBytes !== null && neededBytes > availableBytes) {
      throw new VramError(
        'INSUFFICIENT_VRAM',
        `${neededBytes} bytes of system memory are needed, ${availableBytes} are free`,
        { neededBytes, availableBytes },
      );
    }
    const maxPooledBytes = options.maxPooledBytes ?? Number.MAX_SAFE_INTEGER;
    const memory = await this.#take(byteLength, maxPooledBytes, availableBytes);
    this.#pool.shrink(maxPooledBytes);
    // The device may have been closed or lost meanwhile, and would never wipe a region that is not registered.
    this.#checkPresent();
    const region = new HostRegion(this.#owner, memory, byteLength);
    this.#regions.add(region);
    return region;
  }

  async #take(
    byteLength: number,
    maxPooledBytes: number,
    availableBytes: number | null,
  ): Promise<HostMemory> {
    const neededBytes = paddedLength(byteLength);
    try {
      if (neededBytes > MAX_REGION_BYTES) throw new RangeError(`more than ${MAX_REGION_BYTES} bytes`);
      const { segmentBytes, host } = this.#settings;
      host.inject?.beforeAllocate?.(neededBytes);
      return await HostMemory.allocate(byteLength, segmentBytes, (length) =>
        this.#segment(length, maxPooledBytes),
      );
    } catch (cause) {
      // A failed allocation throws exactly this. Any other error is unrelated to the requested size.
      if (!(cause instanceof RangeError)) throw unforeseen(cause);
      throw new VramError(
        'ALLOCATION_FAILED',
        `the system did not give ${neededBytes} bytes; release other shards or use a smaller one`,
        { cause, neededBytes, availableBytes },
      );
    }
  }

  /** A pooled segment, or a new one. Errors: RangeError. */
  #segment(length: number, maxPooledBytes: number): Uint8Array {
    const kept = this.#pool.take(length);
    if (kept !== undefined) return kept;
    const { freeMemory, prepare } = this.#settings.host;
    // Pooled memory is freed before a request exceeds the budget or the free memory.
    this.#pool.shrink(freeMemory !== undefined && length > freeMemory() ? 0 : maxPooledBytes);
    const segment = new Uint8Array(length);
    prepare?.(segment);
    return segment;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    // Regions that cannot be wiped have still ended their accounting: closing continues, and never throws (MS-005).
    await Promise.allSettled([...this.#regions].map((region) => region.release()));
    this.#pool.shrink(0);
    this.#lose({ reason: 'closed', message: 'the device was closed' });
  }

  #lose(lost: DeviceLost): void {
    this.#gone ??= lost;
    this.#resolveLost(this.#gone);
  }

  #checkPresent(): void {
    if (this.#gone !== null) {
      throw new VramError('DEVICE_LOST', `host cannot be used any more: ${this.#gone.message}`);
    }
    if (this.#closing !== null) throw new VramError('DEVICE_LOST', 'host is being closed');
  }

  #asOwner(): HostOwner {
    const { engine, host, drills } = this.#settings;
    const sound = engineKernels(engine);
    return {
      machine: {
        kernels: host.inject?.kernels?.(sound) ?? sound,
        scratch: this.#scratch,
        sha256: (bytes) => engine.sha256(bytes),
      },
      drills,
      sinks: host.sinks,
      checkPresent: () => this.#checkPresent(),
      serial: (work) => this.#runs.run(work),
      countUpload: (bytes) => {
        this.#uploadedBytes += bytes;
      },
      countReadback: (bytes) => {
        this.#readbackBytes += bytes;
      },
      wipe: (segment) => {
        if (this.#gone !== null) throw new VramError('DEVICE_LOST', this.#gone.message);
        if (host.inject?.wipe === undefined) segment.fill(0);
        else host.inject.wipe(segment);
      },
      freed: (segment, wiped) => {
        host.inject?.freed?.(segment);
        if (wiped && this.#closing === null) this.#pool.keep(segment);
      },
      forget: (region) => {
        this.#regions.delete(region);
      },
    };
  }
}

/** Passes a VramError on; wraps any other error as the cause of a VramError with its message. */
function unforeseen(cause: unknown): VramError {
  if (cause instanceof VramError) return cause;
  const reason = cause instanceof Error ? cause.message : 'an unknown error';
  return new VramError('DEVICE_UNAVAILABLE', `host could not make a region: ${reason}`, { cause });
}
