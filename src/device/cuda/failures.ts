import { type ErrorCode, type ErrorDetails, VramError } from '../../base/index.js';

const CODES = [
  'DRIVER',
  'NO_DRIVER',
  'CLOSED',
  'HOST_MEMORY',
  'HOST_THREAD',
  'STATE',
  'SYSTEM',
  'ARGUMENT',
] as const;

/** The addon's rejections: an Error with these properties. */
export interface NativeFailure {
  readonly code: (typeof CODES)[number];
  readonly message: string;
  /** The driver's result, its own name for it, and the function that returned it; with code DRIVER. */
  readonly result: number | null;
  readonly resultName: string | null;
  readonly call: string | null;
  /** The log of the driver's compiler. */
  readonly detail: string;
}

/**
 * Marks, as the cause of an error, that no usable driver is installed: the normal state of most machines.
 */
export class NotInstalled extends Error {
  override readonly name = 'NotInstalled';
}

const OUT_OF_MEMORY = 2;
const NOT_SUPPORTED = 801;

/**
 * Results after which the context is void: every later call on the device fails (CUDA driver API, CUresult). Shut down,
 * invalid or destroyed context, uncorrectable ECC and NVLink errors, a contained error, illegal address, launch timeout,
 * assertion, stack error, illegal instruction, misaligned address, invalid address space or program counter, launch
 * failure; and 999, an unknown error, which calls return for a GPU that fell off its bus.
 */
const CONTEXT_LOST = new Set([
  4, 201, 214, 220, 226, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 721, 999,
]);

/** Results caused by the PTX or the launch, not by the device. */
const INVALID_PROGRAM = new Set([200, 209, 218, 300, 500, 701]);

/** Reads a rejection of the addon; null for any other error. */
export function nativeFailure(error: unknown): NativeFailure | null {
  if (!(error instanceof Error) || !('code' in error)) return null;
  const code = CODES.find((known) => known === error.code);
  if (code === undefined) return null;
  return {
    code,
    message: error.message,
    result: 'result' in error && typeof error.result === 'number' ? error.result : null,
    resultName: 'resultName' in error && typeof error.resultName === 'string' ? error.resultName : null,
    call: 'call' in error && typeof error.call === 'string' ? error.call : null,
    detail: 'detail' in error && typeof error.detail === 'string' ? error.detail : '',
  };
}

/** Unsupported on this device, which is not a fault. */
export function isUnsupported(error: unknown): boolean {
  return nativeFailure(error)?.result === NOT_SUPPORTED;
}

/** The PTX or the launch itself was refused. */
export function isInvalidProgram(error: unknown): boolean {
  return INVALID_PROGRAM.has(nativeFailure(error)?.result ?? 0);
}

function isOutOfMemory(error: unknown): boolean {
  return nativeFailure(error)?.result === OUT_OF_MEMORY;
}

/** The device cannot work any more: its context is void, or it was closed during the call. */
export function isLoss(error: unknown): boolean {
  const failure = nativeFailure(error);
  return failure !== null && (failure.code === 'CLOSED' || CONTEXT_LOST.has(failure.result ?? 0));
}

/**
 * The error to throw for a failed step: a lost device and lack of memory have their own codes, everything else gets
 * `code`.
 */
export function typed(error: unknown, code: ErrorCode, what: string, details: ErrorDetails = {}): VramError {
  if (error instanceof VramError) return error;
  const reason = error instanceof Error ? error.message : 'an unknown error';
  const all = { ...details, cause: error };
  if (isLoss(error)) return new VramError('DEVICE_LOST', `${what}: the device was lost: ${reason}`, all);
  if (isOutOfMemory(error)) {
    return new VramError(
      'INSUFFICIENT_VRAM',
      `${what}: ${reason}; release other shards or use a smaller one`,
      all,
    );
  }
  return new VramError(code, `${what}: ${reason}`, all);
}
