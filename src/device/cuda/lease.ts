import { checkBytes, checkInteger, type ErrorCode, invalidInput, VramError } from '../../base/index.js';
import type { ByteRange, CudaArgument, CudaBinding, CudaLaunch, CudaScratch } from '../types.js';
import type { Addon, DeviceHandle, KernelArgument, MemoryHandle, ModuleHandle } from './addon.js';
import { isInvalidProgram, nativeFailure } from './failures.js';
import { entryParameters } from './ptx-entries.js';

const POINTER_BYTES = 8;
const NUMBER_BYTES = 4;
const MAX_U32 = 2 ** 32 - 1;
/** Limits of every compute capability from 3.0 on (CUDA programming guide, "Technical specifications"). */
const MAX_GRID = [2 ** 31 - 1, 65_535, 65_535] as const;
const MAX_BLOCK = [1024, 1024, 64] as const;
const MAX_BLOCK_THREADS = 1024;

/** The interface of a device for its leases. */
export interface LeaseOwner {
  readonly addon: Addon;
  readonly device: DeviceHandle;
  readonly stagingBytes: number;
  attempt<T>(code: ErrorCode, what: string, work: () => Promise<T>): Promise<T>;
  /** Zero-filled device memory; capacity is checked first. */
  takeMemory(byteLength: number): Promise<MemoryHandle>;
}

interface Weights {
  readonly memory: MemoryHandle;
  readonly offset: number;
  /** Throws NOT_FOUND once the region is released, DEVICE_LOST once the device has ended. */
  checkLive(): void;
}

/**
 * Part of a frozen region for the caller's kernels. A kernel's stores are not checked: with `mmu-readonly` the hardware
 * refuses stores to the weights, which voids the context; with `api-only` only the next verification detects them.
 */
export class CudaLease implements CudaBinding {
  readonly kind = 'cuda';
  readonly byteLength: number;
  readonly #owner: LeaseOwner;
  readonly #weights: Weights;
  readonly #modules = new Map<string, Promise<ModuleHandle>>();
  readonly #scratch = new Map<CudaScratch, MemoryHandle>();
  readonly #underWay = new Set<Promise<unknown>>();
  #end: Promise<void> | null = null;

  constructor(owner: LeaseOwner, weights: Weights, byteLength: number) {
    this.#owner = owner;
    this.#weights = weights;
    this.byteLength = byteLength;
  }

  /**
   * Starts a kernel; end() and reads of scratch wait for it. Errors: INVALID_INPUT for PTX that does not compile, a
   * missing entry, arguments that do not match its parameters, ranges outside the lease; NOT_FOUND after the end;
   * DEVICE_LOST.
   */
  launch(launch: CudaLaunch): Promise<void> {
    return this.#tracked(async () => {
      if (typeof launch !== 'object' || launch === null) throw invalidInput('launch', 'must be an object');
      // Read once: the caller may change the object while the module loads, and the launch must use the checked values.
      const { module: ptx, entry } = launch;
      const grid = checkDimensions('grid', launch.grid, MAX_GRID);
      const block = checkDimensions('block', launch.block, MAX_BLOCK);
      const [x, y, z] = block;
      if (x * y * z > MAX_BLOCK_THREADS)
        throw invalidInput('block', `must hold at most ${MAX_BLOCK_THREADS} threads`);
      const args = this.#arguments(ptx, entry, launch.args);
      const module = await this.#module(ptx);
      await this.#program('launch', () => this.#owner.addon.launch(module, entry, grid, block, args));
    });
  }

  /** Zero-filled. Errors: INVALID_INPUT, INSUFFICIENT_VRAM, NOT_FOUND, DEVICE_LOST. */
  scratch(byteLength: number): Promise<CudaScratch> {
    return this.#tracked(async () => {
      checkInteger('byteLength', byteLength, 1);
      const memory = await this.#owner.takeMemory(byteLength);
      const scratch: CudaScratch = Object.freeze({
        byteLength,
        write: (bytes: Uint8Array) => this.#tracked(() => this.#write(memory, byteLength, bytes)),
        read: () => this.#tracked(() => this.#read(memory, byteLength)),
      });
      this.#scratch.set(scratch, memory);
      return scratch;
    });
  }

  end(): Promise<void> {
    this.#end ??= this.#finish();
    return this.#end;
  }

  async #finish(): Promise<void> {
    await Promise.allSettled([...this.#underWay]);
    const { addon, device } = this.#owner;
    const steps: (() => Promise<unknown>)[] = [
      () => addon.synchronize(device),
      ...[...this.#scratch.values()].map((memory) => () => addon.release(memory)),
      ...[...this.#modules.values()].map((module) => async () => addon.unloadModule(await module)),
    ];
    this.#scratch.clear();
    this.#modules.clear();
    const failures: unknown[] = [];
    for (const step of steps) await step().catch((error: unknown) => failures.push(error));
    if (failures.length > 0) {
      const [first] = failures;
      await this.#owner.attempt('RELEASE_FAILED', 'end of a lease', () => Promise.reject(first));
    }
  }

  #module(ptx: string): Promise<ModuleHandle> {
    const known = this.#modules.get(ptx);
    if (known !== undefined) return known;
    const { addon, device } = this.#owner;
    const module = this.#program('module', () => addon.loadModule(device, ptx));
    this.#modules.set(ptx, module);
    // Drops a module that did not load: there is nothing to unload.
    module.catch(() => this.#modules.delete(ptx));
    return module;
  }

  /** Some errors of the driver are caused by the caller's program. */
  async #program<T>(argument: string, work: () => Promise<T>): Promise<T> {
    return await this.#owner.attempt('DEVICE_UNAVAILABLE', argument, async () => {
      try {
        return await work();
      } catch (error) {
        const failure = nativeFailure(error);
        if (failure?.code === 'ARGUMENT')
          throw invalidInput(argument, `was refused: ${failure.message}`, error);
        if (!isInvalidProgram(error)) throw error;
        const log = failure?.detail === '' ? '' : `: ${failure?.detail}`;
        throw invalidInput(argument, `was refused by the driver with ${failure?.resultName}${log}`, error);
      }
    });
  }

  async #write(memory: MemoryHandle, byteLength: number, bytes: Uint8Array): Promise<void> {
    checkBytes('bytes', bytes);
    if (bytes.length !== byteLength)
      throw invalidInput('bytes', `must be ${byteLength} bytes, got ${bytes.length}`);
    const { addon, device, stagingBytes } = this.#owner;
    await this.#owner.attempt('DEVICE_UNAVAILABLE', 'scratch write', async () => {
      // Waits for kernels that still read the old content.
      await addon.synchronize(device);
      for (let at = 0; at < byteLength; at += stagingBytes) {
        await addon.write(memory, at, bytes.subarray(at, at + stagingBytes));
      }
      await addon.drain(memory);
    });
  }

  async #read(memory: MemoryHandle, byteLength: number): Promise<Uint8Array> {
    const { addon, stagingBytes } = this.#owner;
    const bytes = new Uint8Array(byteLength);
    await this.#owner.attempt('DEVICE_UNAVAILABLE', 'scratch read', async () => {
      for (let at = 0; at < byteLength; at += stagingBytes) {
        bytes.set(await addon.read(memory, at, Math.min(stagingBytes, byteLength - at)), at);
      }
    });
    return bytes;
  }

  #arguments(ptx: string, entry: string, args: readonly CudaArgument[]): KernelArgument[] {
    if (typeof ptx !== 'string') throw invalidInput('module', 'must be PTX text');
    if (typeof entry !== 'string') throw invalidInput('entry', "must be a kernel's name");
    if (!Array.isArray(args)) throw invalidInput('args', 'must be an array');
    const sizes = entryParameters(ptx, entry);
    if (sizes === null) throw invalidInput('entry', 'is not a kernel of this module');
    if (sizes.length !== args.length) {
      throw invalidInput(
        'args',
        `must have ${sizes.length} entries, one for each parameter of the kernel, got ${args.length}`,
      );
    }
    return args.map((argument: CudaArgument, i) => {
      if (typeof argument !== 'object' || argument === null)
        throw invalidInput(`args[${i}]`, 'must be an object');
      const bytes = 'u32' in argument || 'f32' in argument ? NUMBER_BYTES : POINTER_BYTES;
      if (sizes[i] !== bytes) throw invalidInput(`args[${i}]`, 'does not fit the type of its parameter');
      return this.#argument(`args[${i}]`, argument);
    });
  }

  #argument(name: string, argument: CudaArgument): KernelArgument {
    if ('u32' in argument) return { u32: checkInteger(name, argument.u32, 0, MAX_U32) };
    if ('f32' in argument) {
      if (typeof argument.f32 !== 'number') throw invalidInput(name, 'must be a number');
      return { f32: argument.f32 };
    }
    if ('weights' in argument) return this.#range(name, argument.weights);
    const memory = this.#scratch.get(argument.scratch);
    if (memory === undefined) throw invalidInput(name, 'is not scratch of this lease');
    return { memory, offset: 0, length: argument.scratch.byteLength };
  }

  #range(name: string, range: ByteRange): KernelArgument {
    if (typeof range !== 'object' || range === null)
      throw invalidInput(name, 'must hold a range of the lease');
    const offset = checkInteger(`${name}.offset`, range.offset, 0, this.byteLength);
    const length = checkInteger(`${name}.length`, range.length, 1, this.byteLength - offset);
    return { memory: this.#weights.memory, offset: this.#weights.offset + offset, length };
  }

  #tracked<T>(work: () => Promise<T>): Promise<T> {
    const running = this.#begin(work);
    this.#underWay.add(running);
    const done = () => this.#underWay.delete(running);
    running.then(done, done);
    return running;
  }

  async #begin<T>(work: () => Promise<T>): Promise<T> {
    if (this.#end !== null) throw new VramError('NOT_FOUND', 'this binding has ended with its lease');
    this.#weights.checkLive();
    return await work();
  }
}

type Dimensions = readonly [number, number, number];

/** A checked copy. */
function checkDimensions(name: string, dimensions: Dimensions, limits: Dimensions): Dimensions {
  if (!Array.isArray(dimensions) || dimensions.length !== 3)
    throw invalidInput(name, 'must hold three numbers');
  const checked = (i: 0 | 1 | 2): number => checkInteger(`${name}[${i}]`, dimensions[i], 1, limits[i]);
  return [checked(0), checked(1), checked(2)];
}
