import { checkInteger, type ErrorCode, invalidInput, VramError } from '../../base/index.js';
import { checkCuts } from '../cuts.js';
import type { FillProbe } from '../known-answers.js';
import {
  type AllocateOptions,
  type Device,
  type DeviceCapacity,
  type DeviceInfo,
  type DeviceLost,
  type DeviceStats,
  deviceId,
  type Region,
} from '../types.js';
import type { Addon, DeviceHandle, MemoryHandle, ModuleHandle } from './addon.js';
import type { PointerInfo } from './facts.js';
import { isLoss, isUnsupported, typed } from './failures.js';
import type { Kernels } from './kernels.js';
import { CudaLease, type LeaseOwner } from './lease.js';
import { CudaRegion, type RegionOwner } from './region.js';
import { scratchLayout } from './scratch.js';
import { TreeEngine } from './tree-engine.js';

/** Size of each of the four pinned buffers: large enough to amortise a copy's set-up, small compared with a shard. */
export const STAGING_BYTES = 4 * 1024 * 1024;

export interface CudaDeviceSettings {
  readonly addon: Addon;
  readonly device: DeviceHandle;
  readonly kernels: Kernels;
  readonly windowBytes: number;
  readonly drills: boolean;
  /** Built from the driver's attributes of the scratch pool's memory, once the kernels are loaded. */
  info(pointer: PointerInfo): Promise<DeviceInfo>;
}

/** Mapped with separate access rights; the same, and exportable to other processes; or neither. */
type MemoryKind = 'virtual' | 'shared' | 'plain';

/** Allocated at open, shared by all regions. */
interface Resources {
  readonly kernels: ModuleHandle;
  readonly scratch: MemoryHandle;
}

/** One NVIDIA GPU, through the driver alone. */
export class CudaDevice implements Device {
  readonly info: DeviceInfo;
  readonly cutLimits = null;
  readonly lost: Promise<DeviceLost>;
  readonly #settings: CudaDeviceSettings;
  readonly #tree: TreeEngine;
  readonly #granularity: number;
  readonly #virtual: boolean;
  readonly #shareable: boolean;
  readonly #stagingBytes: number;
  readonly #regions = new Set<CudaRegion>();
  readonly #regionOwner: RegionOwner;
  readonly #leaseOwner: LeaseOwner;
  #resolveLost: (lost: DeviceLost) => void = () => undefined;
  #gone: DeviceLost | null = null;
  #closing: Promise<void> | null = null;
  #readbackBytes = 0;
  #uploadedBytes = 0;

  private constructor(settings: CudaDeviceSettings, info: DeviceInfo, resources: Resources) {
    const { addon, device, windowBytes } = settings;
    const { granularity, virtualMemory, shareable, stagingBytes } = addon.deviceInfo(device);
    this.info = info;
    this.#settings = settings;
    this.#granularity = granularity;
    this.#virtual = virtualMemory;
    this.#shareable = shareable;
    this.#stagingBytes = stagingBytes;
    const machine = {
      addon,
      device,
      ...resources,
      layout: scratchLayout(windowBytes),
      sha256: async (bytes: Uint8Array) =>
        new Uint8Array(await crypto.subtle.digest('SHA-256', Uint8Array.from(bytes))),
      randomBytes: (length: number) => crypto.getRandomValues(new Uint8Array(length)),
    };
    this.#tree = new TreeEngine(machine, () => this.#checkPresent());
    this.lost = new Promise((resolve) => {
      this.#resolveLost = resolve;
    });
    this.#leaseOwner = this.#asLeaseOwner();
    this.#regionOwner = this.#asRegionOwner();
  }

  /**
   * Takes over the opened `settings.device`; the caller closes it if this fails. Errors: DEVICE_UNAVAILABLE,
   * INSUFFICIENT_VRAM.
   */
  static async create(settings: CudaDeviceSettings): Promise<CudaDevice> {
    const { addon, device, windowBytes } = settings;
    try {
      const kernels = await loadKernels(settings);
      const scratch = await addon.allocate(device, scratchLayout(windowBytes).byteLength, false);
      const info = await settings.info(await addon.pointerInfo(scratch));
      return new CudaDevice(settings, info, { kernels, scratch });
    } catch (error) {
      throw typed(error, 'DEVICE_UNAVAILABLE', 'the device could not be prepared');
    }
  }

  /** For the known answers. */
  readonly probeFill: FillProbe = (fill) => this.#tree.probeFill(fill);

  async capacity(): Promise<DeviceCapacity> {
    this.#checkPresent();
    return await this.#attempt('DEVICE_UNAVAILABLE', 'capacity', async () => {
      const { freeBytes, totalBytes } = await this.#settings.addon.memoryInfo(this.#settings.device);
      return { totalBytes, freeBytes, source: 'driver' };
    });
  }

  stats(): DeviceStats {
    let liveBytes = 0;
    for (const region of this.#regions) liveBytes += region.allocatedBytes;
    return {
      liveRegions: this.#regions.size,
      liveBytes,
      pooledBytes: 0,
      scratchBytes: this.#tree.scratchBytes,
      readbackBytes: this.#readbackBytes + this.#tree.readbackBytes,
      uploadedBytes: this.#uploadedBytes,
    };
  }

  allocationBytes(byteLength: number): number {
    const unit = this.#granularity;
    checkInteger('byteLength', byteLength, 1, Number.MAX_SAFE_INTEGER - (unit - 1));
    return Math.ceil(byteLength / unit) * unit;
  }

  async allocate(byteLength: number, options: AllocateOptions = {}): Promise<Region> {
    const neededBytes = this.allocationBytes(byteLength);
    checkCuts(options.cuts, byteLength);
    const share = options.share === true;
    if (share && !this.#shareable) {
      throw invalidInput(
        'share',
        `is not possible on ${deviceId(this.info)}: its driver cannot export memory as file descriptors`,
      );
    }
    this.#checkPresent();
    const memory = await this.#take(neededBytes, share ? 'shared' : this.#virtual ? 'virtual' : 'plain');
    try {
      const region = await CudaRegion.create(this.#regionOwner, memory, { byteLength, share });
      // The device may have been closed or lost meanwhile, and would never wipe a region that is not registered.
      this.#checkPresent();
      this.#regions.add(region);
      return region;
    } catch (error) {
      // The first failure is reported; memory left behind is freed with the device.
      await this.#settings.addon.release(memory).catch(() => undefined);
      throw error;
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const failures: string[] = [];
    const note = (error: unknown) => {
      failures.push(error instanceof Error ? error.message : 'an unknown error');
    };
    for (const region of this.#regions) await region.release().catch(note);
    await this.#tree.end(() => this.#settings.addon.close(this.#settings.device)).catch(note);
    // Closing never throws (MS-005); memory that could not be freed is reported here.
    const message = 'the device was closed';
    this.#lose({
      reason: 'closed',
      message: failures.length === 0 ? message : `${message}, with failures: ${failures.join('; ')}`,
    });
  }

  /** Zero-filled memory of `neededBytes`. */
  async #take(neededBytes: number, kind: MemoryKind): Promise<MemoryHandle> {
    const { addon, device } = this.#settings;
    return await this.#attempt('ALLOCATION_FAILED', 'allocation', async () => {
      const { freeBytes } = await addon.memoryInfo(device);
      if (neededBytes > freeBytes) {
        throw new VramError(
          'INSUFFICIENT_VRAM',
          `${neededBytes} bytes of device memory are needed, ${freeBytes} are free; release other shards or use a ` +
            `smaller one`,
          { neededBytes, availableBytes: freeBytes },
        );
      }
      const memory = await this.#allocate(neededBytes, kind, freeBytes);
      try {
        // The driver may return memory with old content, and padding is hashed.
        await addon.fill(memory, 0, neededBytes, 0);
        await addon.synchronize(device);
        return memory;
      } catch (error) {
        await addon.release(memory).catch(() => undefined);
        throw error;
      }
    });
  }

  async #allocate(neededBytes: number, kind: MemoryKind, availableBytes: number): Promise<MemoryHandle> {
    const { addon, device } = this.#settings;
    try {
      return await addon.allocate(device, neededBytes, kind !== 'plain', kind === 'shared');
    } catch (error) {
      if (kind === 'virtual' && isUnsupported(error))
        return await this.#allocate(neededBytes, 'plain', availableBytes);
      throw typed(error, 'ALLOCATION_FAILED', `${neededBytes} bytes could not be allocated`, {
        neededBytes,
        availableBytes,
      });
    }
  }

  async #attempt<T>(code: ErrorCode, what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const cause = error instanceof VramError ? error.cause : error;
      // A call on a closing device is refused too, but that is not a loss.
      if (isLoss(cause) && this.#closing === null) {
        const message = cause instanceof Error ? cause.message : what;
        this.#lose({ reason: 'lost', message });
      }
      throw typed(error, code, `${deviceId(this.info)}: ${what} failed`);
    }
  }

  #lose(lost: DeviceLost): void {
    this.#gone ??= lost;
    this.#resolveLost(this.#gone);
  }

  #checkPresent(): void {
    const id = deviceId(this.info);
    if (this.#gone !== null) {
      throw new VramError('DEVICE_LOST', `${id} cannot be used any more: ${this.#gone.message}`);
    }
    if (this.#closing !== null) throw new VramError('DEVICE_LOST', `${id} is being closed`);
  }

  #asLeaseOwner(): LeaseOwner {
    const { addon, device } = this.#settings;
    return {
      addon,
      device,
      stagingBytes: this.#stagingBytes,
      attempt: (code, what, work) => this.#attempt(code, what, work),
      takeMemory: (byteLength) => this.#take(byteLength, 'plain'),
    };
  }

  #asRegionOwner(): RegionOwner {
    return {
      addon: this.#settings.addon,
      drills: this.#settings.drills,
      stagingBytes: this.#stagingBytes,
      checkPresent: () => this.#checkPresent(),
      attempt: (code, what, work) => this.#attempt(code, what, work),
      tree: (memory, part, nodes, watch) => this.#tree.run(memory, part, nodes, watch),
      bind: (memory, offset, length, checkLive) =>
        new CudaLease(this.#leaseOwner, { memory, offset, checkLive }, length),
      countUpload: (bytes) => {
        this.#uploadedBytes += bytes;
      },
      countReadback: (bytes) => {
        this.#readbackBytes += bytes;
      },
      forget: (region) => {
        this.#regions.delete(region);
      },
    };
  }
}

async function loadKernels({ addon, device, kernels }: CudaDeviceSettings): Promise<ModuleHandle> {
  try {
    return await addon.loadModule(device, kernels.image);
  } catch (error) {
    const named = kernels.origin === null ? '' : ` that ${kernels.origin} names`;
    throw typed(error, 'DEVICE_UNAVAILABLE', `the kernels${named} could not be loaded`);
  }
}
