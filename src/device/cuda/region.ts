import { checkBytes, type ErrorCode, Serial, VramError } from '../../base/index.js';
import {
  BLOCK_BYTES,
  type FillNatively,
  type NativeSink,
  type TreeLayout,
  treeLayout,
} from '../../digest/index.js';
import { checkFillLength, NativeFills } from '../native-fills.js';
import {
  checkFlip,
  checkNodes,
  paddedBlock,
  releasedError,
  stateError,
  type TreePart,
} from '../region-checks.js';
import { RootProgress, type RunWatch } from '../root-progress.js';
import { SegmentTable } from '../segments.js';
import type {
  CudaBinding,
  FaultPort,
  Immutability,
  Region,
  RootOptions,
  RunOptions,
  TreeRoot,
} from '../types.js';
import { ACCESS_READ, type Addon, type DescriptorHandle, type MemoryHandle } from './addon.js';
import { isUnsupported } from './failures.js';
import { CudaSharedMemory } from './shared-memory.js';

/** The interface of a device for its regions. */
export interface RegionOwner {
  readonly addon: Addon;
  readonly drills: boolean;
  readonly stagingBytes: number;
  /** Throws DEVICE_LOST if the device is lost. */
  checkPresent(): void;
  /** Carries out addon calls, converts their rejections to VramErrors, and notes a loss. */
  attempt<T>(code: ErrorCode, what: string, work: () => Promise<T>): Promise<T>;
  /** Hashes nodes of a part of the tree, 32 bytes each, in turn with the device's other runs. */
  tree(memory: MemoryHandle, part: TreePart, nodes: number, watch: RunWatch): Promise<Uint8Array>;
  /** `checkLive` throws once the region is released. */
  bind(memory: MemoryHandle, offset: number, length: number, checkLive: () => void): CudaBinding;
  countUpload(bytes: number): void;
  countReadback(bytes: number): void;
  /** Ends the accounting of a region. */
  forget(region: CudaRegion): void;
}

/** What a region's memory was allocated for. */
export interface RegionRequest {
  readonly byteLength: number;
  /** It can be exported to other processes. */
  readonly share: boolean;
}

type State = 'filling' | 'frozen' | 'released';

/** A region in one allocation of device memory. Its calls are carried out in the order in which they were made. */
export class CudaRegion implements Region {
  readonly byteLength: number;
  readonly allocatedBytes: number;
  readonly faults: FaultPort | null;
  readonly shared: CudaSharedMemory | null;
  readonly #owner: RegionOwner;
  readonly #memory: MemoryHandle;
  readonly #virtual: boolean;
  readonly #table: SegmentTable;
  readonly #layout: TreeLayout;
  readonly #fills: NativeFills;
  readonly #calls = new Serial();
  #state: State = 'filling';
  /** The driver did not make the mapping read-only again after a write: these bytes are not trusted until it has. */
  #writable = false;
  /** This process's mapping is read-only, confirmed by the driver. */
  #readOnly = false;
  #freezing: Promise<Immutability> | null = null;
  #release: Promise<void> | null = null;

  private constructor(
    owner: RegionOwner,
    memory: MemoryHandle,
    { byteLength, share }: RegionRequest,
    table: SegmentTable,
  ) {
    const { bytes, virtual } = owner.addon.allocationInfo(memory);
    this.#owner = owner;
    this.#memory = memory;
    this.#virtual = virtual;
    this.#table = table;
    this.#layout = treeLayout(byteLength);
    this.#fills = new NativeFills((sink) => owner.addon.closeSink(sink));
    this.byteLength = byteLength;
    this.allocatedBytes = bytes;
    this.shared = share ? new CudaSharedMemory(bytes, () => this.#export()) : null;
    this.faults = owner.drills ? { flip: (byte, mask) => this.#flip(byte, mask) } : null;
  }

  /** `memory` holds zeros, and is a whole number of blocks. */
  static async create(owner: RegionOwner, memory: MemoryHandle, request: RegionRequest): Promise<CudaRegion> {
    return new CudaRegion(owner, memory, request, await SegmentTable.create([request.byteLength]));
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    this.#checkState('filling');
    checkBytes('bytes', bytes);
    this.#table.resolve(offset, bytes.length, { offset: 'offset', length: 'bytes' });
    await this.#inTurn('DEVICE_UNAVAILABLE', 'write', async () => {
      const { addon, stagingBytes } = this.#owner;
      for (let at = 0; at < bytes.length; at += stagingBytes) {
        await addon.write(this.#memory, offset + at, bytes.subarray(at, at + stagingBytes));
      }
      this.#owner.countUpload(bytes.length);
    });
  }

  readonly fillNatively: FillNatively = (offset, length, fill) =>
    this.#fills.run(() => this.#fill(offset, length, fill));

  async #fill(offset: number, length: number, fill: (sink: NativeSink) => Promise<void>): Promise<void> {
    this.#checkState('filling');
    checkFillLength(length);
    this.#table.resolve(offset, length);
    const { addon } = this.#owner;
    const written = <T>(work: () => Promise<T>): Promise<T> =>
      this.#owner.attempt('DEVICE_UNAVAILABLE', 'write', work);
    const reserved = await written(async () => addon.reserve(this.#memory, length));
    try {
      await this.#fills.lend(reserved, async (sink) => {
        await fill(sink);
        this.#checkLive();
        // Not in turn: a freeze in its turn waits for this.
        await written(() => addon.writeReserved(this.#memory, offset, sink));
      });
    } catch (error) {
      // If the memory was withdrawn, that is why the fill failed.
      this.#checkLive();
      throw error;
    }
    this.#owner.countUpload(length);
  }

  freeze(): Promise<Immutability> {
    return this.#settled(() => {
      this.#checkLive();
      this.#state = 'frozen';
      this.#freezing ??= this.#inTurn('DEVICE_UNAVAILABLE', 'freeze', async () => {
        await this.#fills.ended();
        await this.#owner.addon.drain(this.#memory);
        return await this.#protect();
      });
      return this.#freezing;
    });
  }

  async root(options: RootOptions = {}): Promise<TreeRoot> {
    const { blocks, levels } = this.#layout;
    const progress = new RootProgress(this.byteLength, options);
    const root = await this.#tree({ level: levels.length - 1, firstBlock: 0, blocks }, 1, progress);
    progress.proved();
    return { root, blocks };
  }

  async nodes(level: number, first: number, count: number, options: RunOptions = {}): Promise<Uint8Array> {
    this.#checkState('frozen');
    const part = checkNodes(this.#layout, level, first, count);
    return await this.#tree(part, count, options);
  }

  async patch(block: number, bytes: Uint8Array): Promise<void> {
    this.#checkState('frozen');
    const whole = paddedBlock(this.#layout, block, bytes);
    await this.#inTurn('DEVICE_UNAVAILABLE', 'patch', async () => {
      await this.#freezing;
      await this.#overwrite(block * BLOCK_BYTES, whole);
      this.#owner.countUpload(bytes.length);
    });
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    this.#checkLive();
    this.#table.resolve(offset, length);
    const bytes = new Uint8Array(length);
    await this.#inTurn('DEVICE_UNAVAILABLE', 'read', async () => {
      const { addon, stagingBytes } = this.#owner;
      for (let at = 0; at < length; at += stagingBytes) {
        const part = await addon.read(this.#memory, offset + at, Math.min(stagingBytes, length - at));
        bytes.set(part, at);
        part.fill(0);
      }
      this.#owner.countReadback(length);
    });
    return bytes;
  }

  view(offset: number, length: number): CudaBinding {
    this.#checkState('frozen');
    this.#table.resolve(offset, length);
    const check = (): void => {
      this.#checkLive();
      if (this.#writable) throw stillWritable();
    };
    check();
    return this.#owner.bind(this.#memory, offset, length, check);
  }

  abandon(): Promise<void> {
    // Memory that is not shared has no other users, so it can be wiped.
    if (this.shared === null) return this.release();
    const { addon } = this.#owner;
    return this.#end('given back', () => addon.abandon(this.#memory));
  }

  release(): Promise<void> {
    const { addon } = this.#owner;
    return this.#end('wiped and given back', () => addon.release(this.#memory));
  }

  /** Runs once: the first call decides how. */
  #end(what: string, release: () => Promise<void>): Promise<void> {
    this.#state = 'released';
    this.#fills.withdraw();
    this.#release ??= this.#calls.run(() => this.#releaseMemory(what, release));
    return this.#release;
  }

  async #releaseMemory(what: string, release: () => Promise<void>): Promise<void> {
    try {
      await release();
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : 'an unknown error';
      throw new VramError('RELEASE_FAILED', `device memory could not be ${what} in full: ${reason}`, {
        cause,
      });
    } finally {
      this.#owner.forget(this);
    }
  }

  async #export(): Promise<DescriptorHandle> {
    this.#checkState('frozen');
    return await this.#inTurn('DEVICE_UNAVAILABLE', 'export', async () => {
      await this.#freezing;
      return await this.#owner.addon.exportMemory(this.#memory);
    });
  }

  /** Applies the strongest protection available, then queries it. */
  async #protect(): Promise<Immutability> {
    if (!this.#virtual) return 'api-only';
    try {
      this.#readOnly = (await this.#owner.addon.protect(this.#memory, true)) === ACCESS_READ;
      // Other processes choose their own rights for shared memory.
      return this.#readOnly && this.shared === null ? 'mmu-readonly' : 'api-only';
    } catch (error) {
      if (isUnsupported(error)) return 'api-only';
      throw error;
    }
  }

  /** Makes the mapping writable for a write, and read-only again on every path. */
  async #overwrite(offset: number, bytes: Uint8Array): Promise<void> {
    const { addon } = this.#owner;
    const readOnly = this.#readOnly;
    let failure: { readonly error: unknown } | null = null;
    try {
      if (readOnly) await addon.protect(this.#memory, false);
      await addon.write(this.#memory, offset, bytes);
      await addon.drain(this.#memory);
    } catch (error) {
      failure = { error };
    }
    if (readOnly) {
      const restored = await this.#restore();
      failure ??= restored;
    }
    if (failure !== null) throw failure.error;
  }

  /** Retried once, because a region left writable is worse; the first failure is still reported. */
  async #restore(): Promise<{ readonly error: unknown } | null> {
    this.#writable = true;
    let failure: { readonly error: unknown } | null = null;
    for (let attempt = 0; attempt < 2 && this.#writable; attempt++) {
      try {
        const granted = await this.#owner.addon.protect(this.#memory, true);
        if (granted === ACCESS_READ) this.#writable = false;
        else failure ??= { error: new Error('the driver did not grant read-only access again') };
      } catch (error) {
        failure ??= { error };
      }
    }
    return failure;
  }

  async #tree(part: TreePart, nodes: number, watch: RunWatch): Promise<Uint8Array> {
    this.#checkState('frozen');
    return await this.#inTurn('DEVICE_UNAVAILABLE', 'tree run', async () => {
      // After a failed freeze the region must not be trusted.
      await this.#freezing;
      return await this.#owner.tree(this.#memory, part, nodes, watch);
    });
  }

  async #flip(byte: number, mask: number): Promise<void> {
    this.#checkLive();
    checkFlip(this.#layout.blocks * BLOCK_BYTES, byte, mask);
    // A later freeze waits for this flip, so the flip must not wait for a freeze.
    const freezing = this.#freezing;
    await this.#inTurn('DEVICE_UNAVAILABLE', 'flip', async () => {
      const [value = 0] = await this.#owner.addon.read(this.#memory, byte, 1);
      await freezing;
      await this.#overwrite(byte, Uint8Array.of(value ^ mask));
    });
  }

  async #inTurn<T>(code: ErrorCode, what: string, work: () => Promise<T>): Promise<T> {
    return await this.#calls.run(async () => {
      this.#owner.checkPresent();
      return await this.#owner.attempt(code, what, async () => {
        // If the driver refused to make the mapping read-only, every later call first retries that.
        if (this.#writable) await this.#restore();
        if (this.#writable) throw stillWritable();
        return await work();
      });
    });
  }

  /** Turns thrown argument errors into rejections. */
  async #settled<T>(work: () => Promise<T>): Promise<T> {
    return await work();
  }

  #checkLive(): void {
    if (this.#state === 'released') throw releasedError();
    this.#owner.checkPresent();
  }

  #checkState(needed: 'filling' | 'frozen'): void {
    this.#checkLive();
    if (this.#state === needed) return;
    throw stateError(needed);
  }
}

function stillWritable(): VramError {
  return new VramError(
    'DEVICE_UNAVAILABLE',
    'the driver has not made this region read-only again after a block was replaced; release it and seal again',
  );
}
