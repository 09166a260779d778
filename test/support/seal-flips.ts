import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isVramError } from '../../src/base/errors.js';
import type { Device, Region } from '../../src/device/index.js';
import { createPortableEngine, type FillNatively } from '../../src/digest/index.js';
import { VramManager } from '../../src/manager/index.js';
import { fileSource } from '../../src/node/files/file-source.js';
import { overlay } from '../contract/broken.js';
import type { ContractTarget } from '../contract/cases.js';
import { pattern, platform, wrapRegions } from '../unit/manager/fixture.js';

/**
 * Where a bit is flipped while a shard is sealed with hashing 'device': in the file before it is read; on the way, after it
 * was read and before it is copied; in memory once it is frozen; in memory again, after the root and before the hashes to be
 * kept.
 */
export const PLACES = ['file', 'way', 'memory', 'late'] as const;
export type Place = (typeof PLACES)[number];

/** Which check refused a seal: the device's root, or the hashes to be kept, which lead to another root. */
export type Check = 'root' | 'retained hashes';

export const CHECK_OF: Readonly<Record<Place, Check>> = {
  file: 'root',
  way: 'root',
  memory: 'root',
  late: 'retained hashes',
};

const BLOCK = 4096;
export const WINDOW = 48 * BLOCK;

/** Just over a block, a segment of the host's small ones, a window, and a group of 128 blocks, WebGPU's small segment. */
export const SIZES = [BLOCK + 1, 65_537, WINDOW + 1, 524_289] as const;
/** A file that native threads read, where they reach the device's memory. */
export const NATIVE_SIZE = 2 ** 20 + 5;
const EDGES = [BLOCK, 65_536, WINDOW, 524_288];

interface Flip {
  readonly place: Place;
  readonly byte: number;
  readonly mask: number;
}

/** One shard on disk: its bytes are those of its digest whenever no flip is being made. */
interface Weights {
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly expected: string;
}

/** A manager over a device whose bits can be flipped at any step of a seal. */
export class FlipBench {
  readonly #device: Device;
  readonly #manager: VramManager;
  readonly #folder: string;
  readonly #weights = new Map<number, Weights>();
  readonly #pending: { flip: Flip | null };

  private constructor(device: Device, manager: VramManager, pending: { flip: Flip | null }) {
    this.#device = device;
    this.#manager = manager;
    this.#pending = pending;
    this.#folder = mkdtempSync(join(tmpdir(), 'seal-flips-'));
  }

  static async open(target: ContractTarget): Promise<FlipBench> {
    const device = await target.open({ drills: true, windowBytes: WINDOW });
    const pending: { flip: Flip | null } = { flip: null };
    const manager = await VramManager.open(
      {
        device: wrapRegions(device, (region) => flipping(region, pending)),
        workerId: 'flips',
        policy: 'any',
      },
      platform(),
    );
    return new FlipBench(device, manager, pending);
  }

  /** Seals without any flip; throws if that is refused. */
  async sealSound(byteLength: number): Promise<void> {
    await this.#manager.release(await this.#seal(await this.#made(byteLength)));
  }

  /** The check that refused a seal with one flipped bit; null if it was sealed, or refused in any other way. */
  async refusedBy(byteLength: number, flip: Flip): Promise<Check | null> {
    const weights = await this.#made(byteLength);
    if (flip.place === 'file') flipInFile(weights, flip);
    else this.#pending.flip = flip;
    try {
      await this.#manager.release(await this.#seal(weights));
      return null;
    } catch (error) {
      return checkBehind(error);
    } finally {
      if (flip.place === 'file') flipInFile(weights, { ...flip, mask: 0 });
      this.#pending.flip = null;
    }
  }

  /** Regions that were not given back. */
  get leftRegions(): number {
    return this.#device.stats().liveRegions;
  }

  async close(): Promise<void> {
    await this.#manager.close();
    await this.#device.close();
    rmSync(this.#folder, { recursive: true });
  }

  async #seal({ path, expected }: Weights) {
    const source = await fileSource(path);
    try {
      return await this.#manager.seal(source, { expected, hashing: 'device' });
    } finally {
      await source.close();
    }
  }

  async #made(byteLength: number): Promise<Weights> {
    const known = this.#weights.get(byteLength);
    if (known !== undefined) return known;
    const bytes = pattern(byteLength, byteLength);
    const path = join(this.#folder, String(byteLength));
    writeFileSync(path, bytes);
    const stream = createPortableEngine().start({ byteLength, sha256: false, keep: 'root' });
    await stream.update(bytes);
    const made = { path, bytes, expected: (await stream.finish()).fsverity };
    this.#weights.set(byteLength, made);
    return made;
  }
}

/** A flip of a shard of one of SIZES, every third beside the edge that its size crosses. Only memory has padding to flip. */
export function drawFlip(next: (below: number) => number, place: Place, byteLength: number): Flip {
  const end = place === 'file' || place === 'way' ? byteLength : Math.ceil(byteLength / BLOCK) * BLOCK;
  const edge = EDGES.filter((each) => each < byteLength).at(-1) ?? 0;
  const byte = next(3) === 0 ? edge - 1 + next(2) : next(end);
  return { place, byte, mask: 1 << next(8) };
}

/** Repeatable random integers below a bound (xorshift32). */
export function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

function checkBehind(error: unknown): Check | null {
  if (
    isVramError(error, 'SOURCE_MISMATCH') &&
    error.message.includes("seal with hashing 'host' to find out")
  ) {
    return 'root';
  }
  return isVramError(error, 'DEVICE_UNAVAILABLE') && error.message.includes('do not lead to its own root')
    ? 'retained hashes'
    : null;
}

function flipInFile({ path, bytes }: Weights, { byte, mask }: Flip): void {
  const file = openSync(path, 'r+');
  try {
    writeSync(file, Uint8Array.of((bytes[byte] ?? 0) ^ mask), 0, 1, byte);
  } finally {
    closeSync(file);
  }
}

function flipping(region: Region, pending: { flip: Flip | null }): Region {
  const inMemory = async (place: Place): Promise<void> => {
    const { flip } = pending;
    if (flip?.place !== place) return;
    if (region.faults === null) throw new Error('no fault port');
    pending.flip = null;
    await region.faults.flip(flip.byte, flip.mask);
  };
  return overlay(region, {
    write: async (offset, bytes) => {
      const { flip } = pending;
      const at = (flip?.byte ?? -1) - offset;
      if (flip?.place !== 'way' || at < 0 || at >= bytes.length) return await region.write(offset, bytes);
      const damaged = bytes.slice();
      damaged[at] = (damaged[at] ?? 0) ^ flip.mask;
      await region.write(offset, damaged);
    },
    ...(region.fillNatively && { fillNatively: nativelyFlipping(region, region.fillNatively, pending) }),
    freeze: async () => {
      const immutability = await region.freeze();
      await inMemory('memory');
      return immutability;
    },
    nodes: async (...args) => {
      await inMemory('late');
      return await region.nodes(...args);
    },
  });
}

/** A flip on the way, made once the native threads have brought the byte. */
function nativelyFlipping(
  region: Region,
  fillNatively: FillNatively,
  pending: { readonly flip: Flip | null },
): FillNatively {
  return async (offset, length, fill) => {
    await fillNatively(offset, length, fill);
    const { flip } = pending;
    const at = (flip?.byte ?? -1) - offset;
    if (flip?.place !== 'way' || at < 0 || at >= length) return;
    const [value = 0] = await region.read(flip.byte, 1);
    await region.write(flip.byte, Uint8Array.of(value ^ flip.mask));
  };
}
