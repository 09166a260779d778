import type { Batch, Submitter } from './batch.js';
import { BufferUsage, MapMode, VECTOR_BYTES } from './constants.js';
import { type GpuContext, type Purpose, settleAll } from './context.js';
import type { Kernels } from './kernels.js';
import { Pool } from './pool.js';

/** Bytes of sealed memory that one slot carries at a time. */
export const SLOT_BYTES = 4 * 1024 * 1024;
/** Room for bytes that are not aligned to vectors. */
const SLOT_BUFFER_BYTES = SLOT_BYTES + 2 * VECTOR_BYTES;
const UPLOAD_SLOTS = 3;
const DOWNLOAD_SLOTS = 2;

interface UploadSlot {
  readonly host: GPUBuffer;
  readonly device: GPUBuffer;
  /** The host buffer's mapped memory, once it is mapped again and holds no weights. */
  mapped: Promise<Uint8Array>;
}

/** `device` is filled by shaders or `host` directly by copies. */
export interface DownloadSlot {
  readonly host: GPUBuffer;
  readonly device: GPUBuffer;
}

/** A range of one sealed buffer. */
export interface SealedRange {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly length: number;
}

/**
 * Moves bytes in and out of sealed buffers, which can be neither copied nor mapped: a bounded number of small buffers
 * of both kinds of usage, and a copy shader between them and the sealed ones. They are wiped after each use, so that
 * weights remain only in sealed buffers.
 */
export class Staging {
  static readonly byteLength = 2 * UPLOAD_SLOTS * SLOT_BUFFER_BYTES + 2 * DOWNLOAD_SLOTS * SLOT_BUFFER_BYTES;
  readonly #context: GpuContext;
  readonly #kernels: Kernels;
  readonly #submitter: Submitter;
  readonly #uploads: Pool<UploadSlot>;
  readonly #downloads: Pool<DownloadSlot>;
  readonly #buffers: readonly GPUBuffer[];

  private constructor(
    context: GpuContext,
    kernels: Kernels,
    submitter: Submitter,
    slots: { readonly uploads: readonly UploadSlot[]; readonly downloads: readonly DownloadSlot[] },
  ) {
    this.#context = context;
    this.#kernels = kernels;
    this.#submitter = submitter;
    this.#uploads = new Pool(slots.uploads);
    this.#downloads = new Pool(slots.downloads);
    this.#buffers = [...slots.uploads, ...slots.downloads].flatMap(({ host, device }) => [host, device]);
  }

  /**
   * Reserves all slots, one after another: a page's thread zeroes the shared memory of each host buffer while it makes it,
   * which for all of them at once takes longer than a page may be blocked. Errors: INSUFFICIENT_VRAM, DEVICE_UNAVAILABLE,
   * DEVICE_LOST.
   */
  static async create(
    context: GpuContext,
    kernels: Kernels,
    submitter: Submitter,
    purpose: Purpose,
  ): Promise<Staging> {
    const { MAP_READ, MAP_WRITE, COPY_SRC, COPY_DST, STORAGE } = BufferUsage;
    const uploads: UploadSlot[] = [];
    const downloads: DownloadSlot[] = [];
    const buffer = (label: string, usage: number, mappedAtCreation = false): GPUBuffer =>
      context.device.createBuffer({ label, size: SLOT_BUFFER_BYTES, usage, mappedAtCreation });
    try {
      while (uploads.length < UPLOAD_SLOTS) {
        // Awaiting the verdict lets other tasks of the page run.
        await context.guard(purpose, () => {
          const host = buffer('upload (host)', MAP_WRITE | COPY_SRC, true);
          const device = buffer('upload (device)', STORAGE | COPY_DST);
          uploads.push({ host, device, mapped: Promise.resolve(new Uint8Array(host.getMappedRange())) });
        }).accepted;
      }
      while (downloads.length < DOWNLOAD_SLOTS) {
        await context.guard(purpose, () => {
          const host = buffer('download (host)', MAP_READ | COPY_DST);
          downloads.push({ host, device: buffer('download (device)', STORAGE | COPY_SRC | COPY_DST) });
        }).accepted;
      }
      return new Staging(context, kernels, submitter, { uploads, downloads });
    } catch (error) {
      for (const { host, device } of [...uploads, ...downloads]) {
        host.destroy();
        device.destroy();
      }
      throw error;
    }
  }

  /**
   * Writes `bytes`, at most SLOT_BYTES, over consecutive ranges of sealed buffers, at most MAX_DISPATCHES, the first at
   * any byte offset and each other one at its buffer's start; with `flip`, their set bits are flipped there. When it
   * resolves, the bytes may be reused and the work is submitted; `accepted` settles with the device's verdict.
   */
  async upload(
    purpose: Purpose,
    targets: readonly SealedRange[],
    bytes: Uint8Array,
    flip = false,
  ): Promise<{ readonly accepted: Promise<void> }> {
    const pipeline = flip ? this.#kernels.flip : this.#kernels.copy;
    if (pipeline === null) throw new TypeError('a device opened without drills cannot flip bits');
    const { pieces, lead, byteLength } = slotPieces(targets);
    const slot = await this.#uploads.acquire();
    try {
      const memory = await this.#context.wait(purpose, slot.mapped);
      const { accepted } = this.#submitter.submit(purpose, (batch) => {
        memory.set(bytes, lead);
        slot.host.unmap();
        batch.copy({ from: slot.host, fromOffset: 0, to: slot.device, toOffset: 0, byteLength });
        for (const { buffer, slotVector, bufferVector, begin, end, vectors } of pieces) {
          batch.dispatch({
            pipeline,
            group: this.#copyGroup(slot.device, buffer),
            invocations: vectors,
            params: (row) => [slotVector, bufferVector, row, begin, end],
          });
        }
        batch.wipe({ buffer: slot.device, byteLength });
      });
      this.#context.uploadedBytes += bytes.length;
      slot.mapped = mapWiped(slot.host, byteLength);
      // The slot's next user awaits it; without one the rejection must not end the process.
      slot.mapped.catch(() => undefined);
      return { accepted };
    } finally {
      this.#uploads.release(slot);
    }
  }

  /** Reads at most SLOT_BYTES of consecutive ranges of sealed buffers, as upload() writes them, through the copy shader. */
  async readSealed(purpose: Purpose, sources: readonly SealedRange[]): Promise<Uint8Array> {
    const { pieces, lead, byteLength, length } = slotPieces(sources);
    const slot = await this.#downloads.acquire();
    try {
      const bytes = await this.#fetch(slot, purpose, lead + length, (batch) => {
        for (const { buffer, slotVector, bufferVector, vectors } of pieces) {
          batch.dispatch({
            pipeline: this.#kernels.copy,
            group: this.#copyGroup(buffer, slot.device),
            invocations: vectors,
            params: (row) => [bufferVector, slotVector, row, 0, vectors * VECTOR_BYTES],
          });
        }
        batch.copy({ from: slot.device, fromOffset: 0, to: slot.host, toOffset: 0, byteLength });
        batch.wipe({ buffer: slot.device, byteLength });
      });
      await this.#submitter.submit(purpose, (batch) => batch.wipe({ buffer: slot.host, byteLength }))
        .accepted;
      return lead === 0 ? bytes : bytes.subarray(lead);
    } finally {
      this.#downloads.release(slot);
    }
  }

  /**
   * Submits what `build` adds, which fills the slot's host buffer, and brings back its first bytes: hashes and counts,
   * never weights, which would have to be wiped. Errors: DEVICE_UNAVAILABLE, DEVICE_LOST.
   */
  async fetch(
    purpose: Purpose,
    byteLength: number,
    build: (batch: Batch, slot: DownloadSlot) => void,
  ): Promise<Uint8Array> {
    const slot = await this.#downloads.acquire();
    try {
      return await this.#fetch(slot, purpose, byteLength, build);
    } finally {
      this.#downloads.release(slot);
    }
  }

  async #fetch(
    slot: DownloadSlot,
    purpose: Purpose,
    byteLength: number,
    build: (batch: Batch, slot: DownloadSlot) => void,
  ): Promise<Uint8Array> {
    try {
      const mappedLength = Math.ceil(byteLength / 8) * 8;
      const { value: mapped, accepted } = this.#context.guard(purpose, () => {
        const submitted = this.#submitter.submit(purpose, (batch) => build(batch, slot));
        return { submitted, mapping: slot.host.mapAsync(MapMode.READ, 0, mappedLength) };
      });
      await settleAll([mapped.submitted.accepted, accepted, this.#context.wait(purpose, mapped.mapping)]);
      const bytes = new Uint8Array(slot.host.getMappedRange(0, mappedLength)).slice(0, byteLength);
      this.#context.readbackBytes += byteLength;
      return bytes;
    } finally {
      if (slot.host.mapState === 'mapped') slot.host.unmap();
    }
  }

  #copyGroup(source: GPUBuffer, target: GPUBuffer): GPUBindGroup {
    return this.#context.device.createBindGroup({
      label: 'copy',
      layout: this.#kernels.copyLayout,
      entries: [source, target]
        .map((buffer, binding): GPUBindGroupEntry => ({ binding, resource: { buffer } }))
        .concat({ binding: 2, resource: this.#submitter.paramsBinding }),
    });
  }

  destroy(): void {
    for (const buffer of this.#buffers) buffer.destroy();
  }
}

/**
 * One dispatch of the copy shader: a range of a sealed buffer and its place in a slot, in vectors; `begin` and `end` in
 * bytes.
 */
interface SlotPiece {
  readonly buffer: GPUBuffer;
  readonly bufferVector: number;
  readonly slotVector: number;
  readonly vectors: number;
  /** The range's own bytes, counted from the first vector. */
  readonly begin: number;
  readonly end: number;
}

/**
 * Lays consecutive ranges end to end in a slot. Bytes keep their place within a vector: `lead` bytes come before the first
 * range's, and since buffers are whole blocks every later range begins with a vector.
 */
function slotPieces(ranges: readonly SealedRange[]): {
  readonly pieces: readonly SlotPiece[];
  readonly lead: number;
  /** Of the slot that is used: whole vectors. */
  readonly byteLength: number;
  /** Of the ranges. */
  readonly length: number;
} {
  const lead = (ranges[0]?.offset ?? 0) % VECTOR_BYTES;
  let at = lead;
  const pieces = ranges.map(({ buffer, offset, length }): SlotPiece => {
    const begin = offset % VECTOR_BYTES;
    const piece = {
      buffer,
      bufferVector: (offset - begin) / VECTOR_BYTES,
      slotVector: (at - begin) / VECTOR_BYTES,
      vectors: Math.ceil((begin + length) / VECTOR_BYTES),
      begin,
      end: begin + length,
    };
    at += length;
    return piece;
  });
  return { pieces, lead, byteLength: Math.ceil(at / VECTOR_BYTES) * VECTOR_BYTES, length: at - lead };
}

/** Maps an upload buffer for the next write, and zeros what the last one left in it. */
async function mapWiped(host: GPUBuffer, used: number): Promise<Uint8Array> {
  await host.mapAsync(MapMode.WRITE);
  return new Uint8Array(host.getMappedRange()).fill(0, 0, used);
}
