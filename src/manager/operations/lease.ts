import {
  checkInteger,
  invalidInput,
  throwIfAborted,
  type VerificationReport,
  VramError,
} from '../../base/index.js';
import type {
  ByteRange,
  CudaBinding,
  CudaLaunch,
  CudaScratch,
  DeviceBinding,
  HostBinding,
  Region,
  WebGpuBinding,
} from '../../device/index.js';
import type { SealedShard } from '../../seal/index.js';
import { TensorBuffers } from './tensor-buffers.js';

/** Where a tensor lies, in bytes from the start of its shard: an entry of a tensor index is one. */
export interface TensorRange {
  readonly byteOffset: number;
  readonly byteLength: number;
}

interface LeaseBase {
  readonly shard: SealedShard;
  /** Bytes leased: the shard, or one tensor of it. Offsets below are from their start. */
  readonly byteLength: number;
  /**
   * Fires when the shard is found damaged, is released, its device is lost, or the caller's own signal fires. The result is
   * then rejected.
   */
  readonly signal: AbortSignal;
  /** The verification made for this lease; null where `maxAgeMs` accepted an earlier one. */
  readonly report: VerificationReport | null;
  /**
   * WebGPU: the buffer that holds this tensor of a shard with the layout `tensors`, from its first byte on; for engines
   * that bind buffers themselves. Its usage is STORAGE alone, but its holder could bind it writable. Errors:
   * INVALID_INPUT with the reason where there is none.
   */
  buffer(tensor: string): GPUBuffer;
}

/** Host memory: only copies, so that the sealed memory itself is never handed out. */
export interface HostLease extends LeaseBase, Pick<HostBinding, 'read'> {
  readonly kind: 'host';
}

/**
 * WebGPU: bind groups over the sealed buffers. Write access, automatic layouts and copies are refused by WebGPU itself.
 * The end of the lease waits for submitted work. It cannot prevent a stored bind group from being submitted again later,
 * which would read unverified memory.
 */
export interface WebGpuLease extends LeaseBase, Pick<WebGpuBinding, 'device' | 'layout'> {
  readonly kind: 'webgpu';
  /** One group for every buffer that the range, or a tensor of the shard, touches; all of the lease if none is given. */
  bindings(range?: ByteRange | TensorRange): ReturnType<WebGpuBinding['bindings']>;
}

/** CUDA: the runtime launches the caller's kernels, which get the addresses; JavaScript does not. */
export interface CudaLease extends LeaseBase {
  readonly kind: 'cuda';
  launch(launch: CudaLaunch): Promise<void>;
  scratch(byteLength: number): Promise<CudaScratch>;
}

/** The only way to use a shard's bytes. Ends with the callback that received it; every later use throws NOT_FOUND. */
export type Lease = HostLease | WebGpuLease | CudaLease;

export interface OpenLease {
  readonly lease: Lease;
  /** Waits for work submitted through the lease. Later uses throw. */
  end(): Promise<void>;
}

/** The live shard that is lent. `cuts` are the starts of its buffers. */
export interface Lendable {
  readonly sealed: SealedShard;
  readonly region: Region;
  readonly cuts: readonly number[] | null;
}

/** Lends part of a region. `signal` revokes it. */
export function openLease(
  { sealed: shard, region, cuts }: Lendable,
  tensor: TensorRange | undefined,
  signal: AbortSignal,
  report: VerificationReport | null = null,
): OpenLease {
  const { offset, length } = leasedRange(shard, tensor);
  const binding = region.view(offset, length);
  let ended = false;
  const inUse = <T extends DeviceBinding>(of: T): T => {
    if (ended)
      throw new VramError(
        'NOT_FOUND',
        'this lease has ended: use a shard only inside the callback of execute()',
      );
    if (signal.reason instanceof VramError) throw signal.reason;
    throwIfAborted(signal);
    return of;
  };
  const buffers = new TensorBuffers(shard.manifest, cuts);
  const buffer = (name: string): GPUBuffer => buffers.of(name, inUse(binding));
  return {
    lease: Object.freeze(
      leaseOver(binding, { shard, byteLength: length, signal, report, buffer }, offset, inUse),
    ),
    end: async () => {
      ended = true;
      await binding.end();
    },
  };
}

function leaseOver(
  binding: DeviceBinding,
  base: LeaseBase,
  leaseOffset: number,
  inUse: <T extends DeviceBinding>(binding: T) => T,
): Lease {
  switch (binding.kind) {
    case 'host':
      return {
        ...base,
        kind: 'host',
        read: async (offset, length) => await inUse(binding).read(offset, length),
      };
    case 'webgpu':
      return {
        ...base,
        kind: 'webgpu',
        device: binding.device,
        layout: binding.layout,
        bindings: (range) => {
          const part = range === undefined ? undefined : relativeRange(range, leaseOffset, base.byteLength);
          return inUse(binding).bindings(part);
        },
      };
    case 'cuda':
      return cudaLease(binding, base, inUse);
  }
}

function cudaLease(
  binding: CudaBinding,
  base: LeaseBase,
  inUse: <T extends DeviceBinding>(binding: T) => T,
): CudaLease {
  return {
    ...base,
    kind: 'cuda',
    launch: async (launch) => await inUse(binding).launch(launch),
    scratch: async (byteLength) => await inUse(binding).scratch(byteLength),
  };
}

function leasedRange(shard: SealedShard, tensor: TensorRange | undefined): ByteRange {
  if (tensor === undefined) return { offset: 0, length: shard.byteLength };
  return checkTensor(tensor, shard.byteLength);
}

/** Checked before any verification. Errors: INVALID_INPUT. */
export function checkTensor(tensor: TensorRange, byteLength: number): ByteRange {
  if (typeof tensor !== 'object' || tensor === null)
    throw invalidInput('tensor', 'must be an entry of a tensor index');
  const offset = checkInteger('tensor.byteOffset', tensor.byteOffset, 0, byteLength);
  return { offset, length: checkInteger('tensor.byteLength', tensor.byteLength, 1, byteLength - offset) };
}

/** A range of the lease as it is, a tensor of the shard moved to where it lies in the lease. */
function relativeRange(range: ByteRange | TensorRange, leaseOffset: number, leaseLength: number): ByteRange {
  if (typeof range !== 'object' || range === null)
    throw invalidInput('range', 'must be a range of the lease or a tensor of its shard');
  if ('offset' in range) return range;
  const offset =
    checkInteger('tensor.byteOffset', range.byteOffset, leaseOffset, leaseOffset + leaseLength) - leaseOffset;
  return { offset, length: checkInteger('tensor.byteLength', range.byteLength, 1, leaseLength - offset) };
}
