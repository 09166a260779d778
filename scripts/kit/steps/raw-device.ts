import { createRequire } from 'node:module';
import { env } from 'node:process';
import type {
  Addon,
  DeviceHandle,
  KernelArgument,
  MemoryHandle,
  ModuleHandle,
} from '../../../src/device/cuda/addon.js';
import { loadAddon } from '../../../src/node/devices/cuda/loader.js';
import { kitPath } from './context.js';
import { CHUNK, CHUNK_BYTES } from './data.js';

const STAGING_BYTES = 4 * 2 ** 20;

/** The driver under test; null for the system's. */
export function driverPath(): string | null {
  return env['VRAM_RESIDENCY_LIBCUDA'] ?? null;
}

/**
 * The device through the addon alone, for kernels that are not part of the package. close() frees everything allocated
 * on it.
 */
export class RawDevice {
  readonly addon: Addon;
  readonly handle: DeviceHandle;

  private constructor(addon: Addon, handle: DeviceHandle) {
    this.addon = addon;
    this.handle = handle;
  }

  static async open(index: number): Promise<RawDevice> {
    const addon = await loadAddon();
    const driver = await addon.load(driverPath());
    return new RawDevice(addon, await addon.open(driver, index, STAGING_BYTES));
  }

  allocate(bytes: number): Promise<MemoryHandle> {
    return this.addon.allocate(this.handle, bytes, false);
  }

  load(ptx: string): Promise<ModuleHandle> {
    return this.addon.loadModule(this.handle, ptx);
  }

  /** Allocates memory filled with the repeated chunk, by copies within the device. `bytes` is a power of two. */
  async made(bytes: number): Promise<MemoryHandle> {
    const memory = await this.allocate(bytes);
    await this.addon.write(memory, 0, CHUNK.subarray(0, Math.min(bytes, CHUNK_BYTES)));
    await this.addon.drain(memory);
    for (let done = CHUNK_BYTES; done < bytes; done *= 2)
      await this.addon.copy(memory, done, memory, 0, done);
    await this.synchronize();
    return memory;
  }

  /** Starts a kernel and waits for it. */
  async run(
    module: ModuleHandle,
    entry: string,
    grid: number,
    block: number,
    args: readonly KernelArgument[],
  ): Promise<void> {
    await this.addon.launch(module, entry, [grid, 1, 1], [block, 1, 1], args);
    await this.synchronize();
  }

  synchronize(): Promise<void> {
    return this.addon.synchronize(this.handle);
  }

  close(): Promise<void> {
    return this.addon.close(this.handle);
  }
}

export function whole(memory: MemoryHandle, length: number): KernelArgument {
  return { memory, offset: 0, length };
}

/** Figures of the device and the driver's own copies, from the kit's measuring addon (native/measure). */
export interface MeasureAddon {
  attributes(path: string | null, index: number): Readonly<Record<string, number>>;
  /** Milliseconds of each copy: from pageable and pinned memory, back into pinned memory, within the device. */
  copies(
    path: string | null,
    index: number,
    bytes: number,
    repeats: number,
  ): Readonly<Record<'pageable' | 'pinned' | 'back' | 'within', readonly number[]>>;
}

export function measureAddon(): MeasureAddon {
  const loaded: unknown = createRequire(import.meta.url)(kitPath('measure.node'));
  if (!isMeasureAddon(loaded)) throw new Error('measure.node is of another version than the kit');
  return loaded;
}

function isMeasureAddon(value: unknown): value is MeasureAddon {
  if (typeof value !== 'object' || value === null) return false;
  return ['attributes', 'copies'].every((name) => typeof Reflect.get(value, name) === 'function');
}
