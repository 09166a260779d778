import { isVramError, VramError } from '../../base/index.js';
import type { DeviceLost } from '../types.js';

/** The purpose of the work, which decides the code of a device error. */
export interface Purpose {
  /** Completes "the device refused ...". */
  readonly what: string;
  /** Bytes requested, if the work is an allocation. */
  readonly neededBytes?: number;
}

/** Outcome of synchronous GPU calls: their result now, and later whether the device accepted them. */
export interface Guarded<T> {
  readonly value: T;
  /** Rejects with the typed error that the calls raised. Must be awaited. */
  readonly accepted: Promise<void>;
}

const SCOPES = ['internal', 'out-of-memory', 'validation'] as const;

/** Turns of the event loop to wait for a device to report its loss. */
const LOSS_TURNS = 20;

/**
 * One GPUDevice with its state: after destroy() Dawn reports no errors, so only this object knows whether the device is
 * usable. GPU errors become typed ones only here.
 */
export class GpuContext {
  readonly device: GPUDevice;
  /** Resolves once, when the device is lost or closed. */
  readonly lost: Promise<DeviceLost>;
  readbackBytes = 0;
  uploadedBytes = 0;
  #end: DeviceLost | null = null;
  #resolveLost: (lost: DeviceLost) => void = () => undefined;
  readonly #waiting = new Set<(error: VramError) => void>();

  constructor(device: GPUDevice) {
    this.device = device;
    this.lost = new Promise((resolve) => {
      this.#resolveLost = resolve;
    });
    // GPUDevice.lost never rejects.
    void device.lost.then((info) => {
      this.#finish({ reason: 'lost', message: info.message || `the GPU device was lost (${info.reason})` });
    });
  }

  get ended(): DeviceLost | null {
    return this.#end;
  }

  /** Errors: DEVICE_LOST once the device is lost or closed. */
  check(): void {
    if (this.#end !== null) throw lostError(this.#end);
  }

  /** Marks the device as closed by its user. */
  close(message: string): void {
    this.#finish({ reason: 'closed', message });
  }

  /**
   * Runs GPU calls inside error scopes. The scopes of a device are a stack shared by everyone who uses it, so the body is
   * synchronous: nothing can come between push and pop.
   */
  guard<T>(purpose: Purpose, body: () => T): Guarded<T> {
    this.check();
    for (const scope of SCOPES) this.device.pushErrorScope(scope);
    let value: T;
    let raised: Promise<GPUError | null>[] = [];
    try {
      value = body();
    } catch (error) {
      // The scopes' errors would only repeat the exception.
      for (const _ of SCOPES) void this.device.popErrorScope().catch(() => undefined);
      throw this.#typed(error, purpose);
    }
    raised = SCOPES.map(() => this.device.popErrorScope());
    return { value, accepted: this.#accepted(purpose, raised) };
  }

  /** guard(), with its verdict awaited. */
  async guarded<T>(purpose: Purpose, body: () => T): Promise<T> {
    const { value, accepted } = this.guard(purpose, body);
    await accepted;
    return value;
  }

  /** Waits for a promise of the device; a loss meanwhile rejects at once. Errors: DEVICE_LOST, DEVICE_UNAVAILABLE. */
  async wait<T>(purpose: Purpose, promise: Promise<T>): Promise<T> {
    this.check();
    // Not Promise.race: a promise that never settles would retain every waiter.
    let abandon: (error: VramError) => void = () => undefined;
    const loss = new Promise<never>((_, reject) => {
      abandon = reject;
      this.#waiting.add(reject);
    });
    try {
      return await Promise.race([promise, loss]);
    } catch (error) {
      if (isVramError(error)) throw error;
      await this.#awaitLoss();
      this.check();
      throw this.#typed(error, purpose);
    } finally {
      this.#waiting.delete(abandon);
    }
  }

  /** Resolves when everything submitted so far has run. Errors: DEVICE_LOST, DEVICE_UNAVAILABLE. */
  async idle(purpose: Purpose): Promise<void> {
    this.check();
    await this.wait(purpose, this.device.queue.onSubmittedWorkDone());
    this.check();
  }

  /**
   * Destroys buffers and waits until their memory is free. Dawn frees it once a later submission has run, and on an
   * idle device never: the next shard would be allocated beside the released one. Never rejects: a lost device has
   * nothing left to free, and any other failure shows at the next call.
   */
  async free(buffers: readonly GPUBuffer[]): Promise<void> {
    for (const buffer of buffers) buffer.destroy();
    if (this.#end !== null) return;
    this.device.queue.submit([]);
    await this.idle({ what: 'freeing memory' }).catch(() => undefined);
  }

  async #accepted(purpose: Purpose, raised: readonly Promise<GPUError | null>[]): Promise<void> {
    let errors: (GPUError | null)[];
    try {
      errors = await Promise.all(raised);
    } catch (error) {
      await this.#awaitLoss();
      this.check();
      throw this.#typed(error, purpose);
    }
    const [validation, memory, internal] = errors;
    if (memory) throw outOfMemory(purpose, memory);
    const other = validation ?? internal;
    if (other) {
      await this.#awaitLoss(1);
      this.check();
      throw this.#typed(other, purpose);
    }
  }

  /** A device's loss is reported in a later turn of the event loop than the errors that it causes. */
  async #awaitLoss(turns: number = LOSS_TURNS): Promise<void> {
    for (let turn = 0; turn < turns && this.#end === null; turn++) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  #typed(error: unknown, purpose: Purpose): VramError {
    if (isVramError(error)) return error;
    if (this.#end !== null) return lostError(this.#end);
    const code = purpose.neededBytes === undefined ? 'DEVICE_UNAVAILABLE' : 'ALLOCATION_FAILED';
    return new VramError(code, `the device refused ${purpose.what}: ${firstLine(error)}`, {
      cause: error,
      neededBytes: purpose.neededBytes,
    });
  }

  #finish(end: DeviceLost): void {
    if (this.#end !== null) return;
    this.#end = end;
    this.#resolveLost(end);
    for (const reject of this.#waiting) reject(lostError(end));
    this.#waiting.clear();
  }
}

function lostError(end: DeviceLost): VramError {
  return end.reason === 'closed'
    ? new VramError('DEVICE_LOST', 'the device is closed; open it again to use it')
    : new VramError(
        'DEVICE_LOST',
        `the device was lost: ${firstLine(end)}; its shards are gone; open it again and seal again`,
      );
}

function outOfMemory(purpose: Purpose, cause: GPUError): VramError {
  return new VramError(
    purpose.neededBytes === undefined ? 'DEVICE_UNAVAILABLE' : 'INSUFFICIENT_VRAM',
    `the device has not enough memory for ${purpose.what}; release other shards or use a smaller one`,
    {
      cause,
      availableBytes: null,
      neededBytes: purpose.neededBytes,
    },
  );
}

/** Driver messages have many lines, which may quote a whole call; the first one has the reason. */
function firstLine(error: unknown): string {
  const message =
    typeof error === 'object' && error !== null && 'message' in error && typeof error.message === 'string'
      ? error.message
      : 'no reason was given';
  return (message.split('\n')[0] ?? '').slice(0, 300);
}

/** Waits for all, so that none is still running or rejects unhandled; then throws the error of the first one. */
export async function settleAll(promises: readonly Promise<unknown>[]): Promise<void> {
  const outcomes = await Promise.allSettled(promises);
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
}
