import { checkInteger, MAX_INTEGER, VramError } from '../../base/index.js';
import { BLOCK_BYTES, GROUP_BYTES } from '../../digest/index.js';
import { checkCuts } from '../cuts.js';
import { type FillProbe, proveCutRegion } from '../known-answers.js';
import { SegmentTable } from '../segments.js';
import { refuseShare } from '../share.js';
import type {
  AllocateOptions,
  CutLimits,
  Device,
  DeviceCapacity,
  DeviceInfo,
  DeviceLost,
  DeviceStats,
  OpenOptions,
  Region,
} from '../types.js';
import { Submitter } from './batch.js';
import { createBuffers, cutLengths, evenLengths } from './buffers.js';
import { GpuContext } from './context.js';
import { createKernels, createScatteredLeaves } from './kernels.js';
import { type RegionOwner, WebGpuRegion } from './region.js';
import type { Sha256Variant } from './sha256-wgsl.js';
import { Staging } from './staging.js';
import { TreeEngine } from './tree.js';

/** Enough blocks to fill a large GPU; its leaves are 8 MiB of scratch. */
const HARDWARE_WINDOW_BYTES = 1024 * 1024 * 1024;
/** A CPU has few lanes to fill, and a short run can be aborted quickly. */
const SOFTWARE_WINDOW_BYTES = 64 * 1024 * 1024;
/** WebGPU does not report the amount of memory: a region beyond 1 TiB is refused without trying. */
const MAX_REGION_BYTES = 2 ** 40;
/** Each costs the driver an allocation or a part of one, and each verification a binding. */
const MAX_BUFFERS = 16_384;

export interface WebGpuDeviceSettings extends OpenOptions {
  readonly info: DeviceInfo;
  /** Whether close() destroys the GPUDevice; false for one that the caller provided. */
  readonly owned: boolean;
}

/** One GPUDevice: its shaders, staging, scratch and regions. */
export class WebGpuDevice implements Device {
  readonly info: DeviceInfo;
  readonly cutLimits: CutLimits;
  readonly #owned: boolean;
  readonly #owner: RegionOwner;
  readonly #segmentBytes: number;
  readonly #scratchBytes: number;
  readonly #regions = new Set<WebGpuRegion>();
  #cutsPrepared: Promise<void> | null = null;
  #closing: Promise<void> | null = null;

  private constructor(
    settings: WebGpuDeviceSettings,
    owner: Omit<RegionOwner, 'forget'>,
    segmentBytes: number,
  ) {
    const { maxBufferSize, maxStorageBufferBindingSize } = owner.context.device.limits;
    this.info = settings.info;
    this.cutLimits = {
      maxRunBytes: wholeUnits(Math.min(maxBufferSize, maxStorageBufferBindingSize), BLOCK_BYTES),
      maxBuffers: MAX_BUFFERS,
    };
    this.#owned = settings.owned;
    this.#segmentBytes = segmentBytes;
    this.#scratchBytes = owner.tree.byteLength + Staging.byteLength + owner.submitter.params.size;
    this.#owner = { ...owner, forget: (region) => this.#regions.delete(region) };
  }

  /**
   * Compiles the shaders and reserves staging and scratch. Errors: INVALID_INPUT, DEVICE_UNAVAILABLE, INSUFFICIENT_VRAM,
   * DEVICE_LOST.
   */
  static async create(gpu: GPUDevice, settings: WebGpuDeviceSettings): Promise<WebGpuDevice> {
    const isHardware = settings.info.execution === 'hardware';
    const drills = settings.drills === true;
    const requested = checkInteger(
      'windowBytes',
      settings.windowBytes ?? (isHardware ? HARDWARE_WINDOW_BYTES : SOFTWARE_WINDOW_BYTES),
      BLOCK_BYTES,
    );
    const { maxBufferSize, maxStorageBufferBindingSize } = gpu.limits;
    const segmentBytes = wholeUnits(Math.min(maxBufferSize, maxStorageBufferBindingSize), GROUP_BYTES);
    const windowBytes = wholeUnits(Math.min(requested, segmentBytes), BLOCK_BYTES);
    const context = new GpuContext(gpu);
    const kernels = await createKernels(context, sha256Variant(settings.info), drills);
    const purpose = { what: 'the scratch pool', neededBytes: Staging.byteLength };
    const made: { destroy(): void }[] = [];
    const keep = <T extends { destroy(): void }>(part: T): T => {
      made.push(part);
      return part;
    };
    try {
      const submitter = await context.guarded(purpose, () => keep(new Submitter(context)));
      const staging = keep(await Staging.create(context, kernels, submitter, purpose));
      const tree = await context.guarded(purpose, () =>
        keep(new TreeEngine(context, kernels, submitter, staging, windowBytes)),
      );
      return new WebGpuDevice(settings, { context, kernels, drills, submitter, staging, tree }, segmentBytes);
    } catch (error) {
      for (const part of made) part.destroy();
      throw error;
    }
  }

  /** For an engine that shares it: see gpuDeviceOf(). */
  get gpu(): GPUDevice {
    return this.#owner.context.device;
  }

  /** For the known answers. */
  get probeFill(): FillProbe {
    return this.#owner.tree.probeFill;
  }

  get lost(): Promise<DeviceLost> {
    return this.#owner.context.lost;
  }

  async capacity(): Promise<DeviceCapacity> {
    this.#checkOpen();
    return { totalBytes: null, freeBytes: null, source: 'none' };
  }

  stats(): DeviceStats {
    let liveBytes = 0;
    for (const region of this.#regions) liveBytes += region.allocatedBytes;
    return {
      liveRegions: this.#regions.size,
      liveBytes,
      pooledBytes: 0,
      scratchBytes: this.#scratchBytes,
      readbackBytes: this.#owner.context.readbackBytes,
      uploadedBytes: this.#owner.context.uploadedBytes,
    };
  }

  allocationBytes(byteLength: number): number {
    checkInteger('byteLength', byteLength, 1, MAX_INTEGER - BLOCK_BYTES + 1);
    return Math.ceil(byteLength / BLOCK_BYTES) * BLOCK_BYTES;
  }

  async allocate(byteLength: number, options: AllocateOptions = {}): Promise<Region> {
    const cuts = checkCuts(options.cuts, this.#checkLength(byteLength));
    refuseShare(options, 'WebGPU cannot share buffers with other processes');
    this.#checkOpen();
    if (cuts === null) return await this.#allocate(byteLength, null);
    // Refused before its shader is compiled.
    cutLengths(this.allocationBytes(byteLength), cuts, this.cutLimits);
    await this.#prepareCuts();
    return await this.#allocate(byteLength, cuts);
  }

  async #allocate(byteLength: number, cuts: readonly number[] | null): Promise<Region> {
    const neededBytes = this.allocationBytes(byteLength);
    const lengths =
      cuts === null
        ? evenLengths(neededBytes, this.#segmentBytes)
        : cutLengths(neededBytes, cuts, this.cutLimits);
    const table = await SegmentTable.create(lengths);
    const purpose = { what: `an allocation of ${neededBytes} bytes`, neededBytes };
    const buffers = await createBuffers(this.#owner, lengths, purpose);
    const region = new WebGpuRegion(this.#owner, { buffers, table, cuts }, byteLength);
    this.#regions.add(region);
    // A concurrent close() has not seen the region.
    if (this.#closing !== null) {
      await region.release();
      this.#checkOpen();
    }
    return region;
  }

  #checkLength(byteLength: number): number {
    const neededBytes = this.allocationBytes(byteLength);
    if (neededBytes <= MAX_REGION_BYTES) return byteLength;
    throw new VramError(
      'ALLOCATION_FAILED',
      `a region of ${neededBytes} bytes is more than any device can hold; use smaller shards`,
      { neededBytes, availableBytes: null },
    );
  }

  /**
   * The shader that hashes several buffers at once is compiled and proved at the first allocation with cuts: most devices
   * never see one. A failed attempt is repeated.
   */
  #prepareCuts(): Promise<void> {
    this.#cutsPrepared ??= this.#proveCuts().catch((error: unknown) => {
      this.#cutsPrepared = null;
      throw error;
    });
    return this.#cutsPrepared;
  }

  async #proveCuts(): Promise<void> {
    const { context, kernels, tree } = this.#owner;
    tree.useScattered(await createScatteredLeaves(context, kernels, sha256Variant(this.info)));
    await proveCutRegion({
      info: this.info,
      allocate: (byteLength, { cuts = null } = {}) => this.#allocate(byteLength, cuts),
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    // A region that cannot be wiped has still ended its accounting; closing continues and never throws (MS-005).
    const outcomes = await Promise.allSettled([...this.#regions].map((region) => region.release()));
    const failed = outcomes.filter(({ status }) => status === 'rejected').length;
    const { context } = this.#owner;
    context.close(
      failed === 0
        ? 'the device was closed'
        : `the device was closed; ${failed} of its regions could not be overwritten first`,
    );
    // The device's own buffers, besides its regions'.
    for (const part of [this.#owner.staging, this.#owner.tree, this.#owner.submitter]) part.destroy();
    if (this.#owned) context.device.destroy();
  }

  #checkOpen(): void {
    this.#owner.context.check();
    if (this.#closing !== null) throw new VramError('DEVICE_LOST', 'the device is being closed');
  }
}

function wholeUnits(bytes: number, unit: number): number {
  return Math.floor(bytes / unit) * unit;
}

function sha256Variant({ name, driver }: DeviceInfo): Sha256Variant {
  return /swiftshader/i.test(`${name} ${driver ?? ''}`) ? 'looped' : 'unrolled';
}
