import { readFileSync } from 'node:fs';
import type { MemoryHandle, ModuleHandle } from '../../../src/device/cuda/addon.js';
import { BLOCK_BYTES, HASH_BYTES } from '../../../src/digest/types.js';
import { createNodeEngine } from '../../../src/node/digest/create-engine.js';
import type { Figure } from '../runner/report.js';
import { Failure, kitPath, type StepContext } from './context.js';
import { CHUNK, CHUNK_BYTES } from './data.js';
import { gigabytesPerSecond, medianMs, powersOfTwo, rounded } from './measuring.js';
import { RawDevice, whole } from './raw-device.js';

const MIB = 2 ** 20;
/** Bytes of one launch: what a window of the tree run is. */
const WINDOWS = { first: 256 * MIB, last: 16_384 * MIB };
const REPEATS = 5;
/** The window at which variants are compared: the backend's default. */
const COMPARED = 4096 * MIB;
const SHIPPED = { name: 'shipped', file: '../vram.ptx', blocksPerThread: 1, threads: [64, 128, 256] };
const SHIPPED_THREADS = 128;

interface Variant {
  readonly name: string;
  /** PTX, from the folder of the variants. */
  readonly file: string;
  readonly blocksPerThread: number;
  readonly threads: readonly number[];
}

interface Measured {
  readonly variant: string;
  readonly threads: number;
  readonly bytes: number;
  readonly ms: number;
}

/** Every form of the leaf kernel, at each block size and window: first its hashes, then its speed. */
export async function variants(context: StepContext): Promise<void> {
  const device = await RawDevice.open(context.setting.device);
  try {
    const { freeBytes } = await device.addon.memoryInfo(device.handle);
    const largest = context.affordable(Math.min(WINDOWS.last, freeBytes / 2));
    const bench = await Bench.create(device, powersOfTwo(MIB, largest).at(-1) ?? MIB);
    const windows = powersOfTwo(Math.min(WINDOWS.first, bench.bytes), bench.bytes);
    const measured: Measured[] = [];
    for (const variant of [SHIPPED, ...readVariants()]) {
      const module = await device.load(readFileSync(kitPath(`../cuda/variants/${variant.file}`), 'utf8'));
      for (const threads of variant.threads) {
        await bench.prove(variant, module, threads);
        for (const bytes of windows) {
          const ms = await medianMs(REPEATS, () => bench.leaves(variant, module, threads, bytes));
          measured.push({ variant: variant.name, threads, bytes, ms });
        }
        tell(context, measured);
      }
    }
    compare(context, measured, Math.min(COMPARED, bench.bytes));
  } finally {
    await device.close();
  }
}

function tell(context: StepContext, measured: readonly Measured[]): void {
  const rows: Figure = measured.map(({ ms, ...rest }) => ({
    ...rest,
    ms: rounded(ms),
    GBps: gigabytesPerSecond(rest.bytes, ms),
  }));
  context.figure('variants', rows);
}

function compare(context: StepContext, measured: readonly Measured[], bytes: number): void {
  const at = measured.filter((one) => one.bytes === bytes);
  const fastest = at.reduce<Measured | null>(
    (best, one) => (best === null || one.ms < best.ms ? one : best),
    null,
  );
  const shipped = at.find(({ variant, threads }) => variant === SHIPPED.name && threads === SHIPPED_THREADS);
  if (fastest === null || shipped === undefined) throw new Failure('the shipped kernel was not measured');
  context.figure('fastest', {
    variant: fastest.variant,
    threads: fastest.threads,
    bytes,
    againstShipped: rounded(shipped.ms / fastest.ms),
  });
}

/** The memory of one launch of the leaf kernel. */
class Bench {
  readonly bytes: number;
  readonly #device: RawDevice;
  readonly #data: MemoryHandle;
  readonly #canary: MemoryHandle;
  readonly #out: MemoryHandle;
  readonly #counter: MemoryHandle;

  private constructor(
    device: RawDevice,
    bytes: number,
    memories: readonly [MemoryHandle, MemoryHandle, MemoryHandle, MemoryHandle],
  ) {
    this.bytes = bytes;
    this.#device = device;
    [this.#data, this.#canary, this.#out, this.#counter] = memories;
  }

  static async create(device: RawDevice, bytes: number): Promise<Bench> {
    return new Bench(device, bytes, [
      await device.made(bytes),
      await device.made(BLOCK_BYTES),
      await device.allocate((bytes / BLOCK_BYTES + 1) * HASH_BYTES),
      await device.allocate(16),
    ]);
  }

  /** One launch over the first `bytes`, and the wait for it. */
  async leaves(
    { blocksPerThread }: Variant,
    module: ModuleHandle,
    threads: number,
    bytes: number,
  ): Promise<void> {
    const blocks = bytes / BLOCK_BYTES;
    // One more for the canary.
    const grid = Math.ceil((blocks + 1) / (threads * blocksPerThread));
    await this.#device.run(module, 'vr_leaves', grid, threads, [
      whole(this.#data, bytes),
      { u64: blocks },
      whole(this.#canary, BLOCK_BYTES),
      whole(this.#out, (blocks + 1) * HASH_BYTES),
      whole(this.#counter, 8),
    ]);
  }

  /** Errors: Failure, unless every leaf, the canary's hash and the count are what the host computes. */
  async prove(variant: Variant, module: ModuleHandle, threads: number): Promise<void> {
    const { addon } = this.#device;
    const blocks = CHUNK_BYTES / BLOCK_BYTES;
    await addon.fill(this.#counter, 0, 8, 0);
    await addon.fill(this.#out, 0, (blocks + 1) * HASH_BYTES, 0);
    await this.leaves(variant, module, threads, CHUNK_BYTES);
    const got = await addon.read(this.#out, 0, (blocks + 1) * HASH_BYTES);
    const counted = new DataView((await addon.read(this.#counter, 0, 8)).slice().buffer).getBigUint64(
      0,
      true,
    );
    const engine = createNodeEngine();
    try {
      const expected = new Uint8Array((blocks + 1) * HASH_BYTES);
      expected.set(await engine.leaves(CHUNK));
      expected.set(await engine.leaves(CHUNK.subarray(0, BLOCK_BYTES)), blocks * HASH_BYTES);
      if (Buffer.compare(got, expected) !== 0)
        throw new Failure(`${variant.name}, ${threads} threads: wrong hashes`);
      if (counted !== BigInt(blocks))
        throw new Failure(`${variant.name}, ${threads} threads: counted ${counted} of ${blocks} blocks`);
    } finally {
      await engine.close();
    }
  }
}

/** The kit's variants, from their manifest. Errors: Failure for a malformed manifest. */
function readVariants(): Variant[] {
  const manifest: unknown = JSON.parse(readFileSync(kitPath('../cuda/variants/variants.json'), 'utf8'));
  if (!Array.isArray(manifest)) throw new Failure('variants.json holds no list of variants');
  return manifest.map((entry: unknown) => {
    if (!isVariant(entry)) throw new Failure('variants.json holds a variant of another form');
    return entry;
  });
}

function isVariant(entry: unknown): entry is Variant {
  if (typeof entry !== 'object' || entry === null) return false;
  const { name, file, blocksPerThread, threads } = entry as Partial<Record<keyof Variant, unknown>>;
  return (
    typeof name === 'string' &&
    typeof file === 'string' &&
    typeof blocksPerThread === 'number' &&
    Array.isArray(threads) &&
    threads.every((count) => typeof count === 'number')
  );
}
