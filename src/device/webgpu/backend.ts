import { checkInteger, invalidInput, isVramError, VramError } from '../../base/index.js';
import { BLOCK_BYTES } from '../../digest/index.js';
import { proveKnownAnswers } from '../known-answers.js';
import {
  type Backend,
  type BackendProblem,
  type Device,
  type DeviceInfo,
  deviceId,
  type OpenOptions,
} from '../types.js';
import { ADAPTER_REQUESTS, type AdapterFacts, adapterKey, describeAdapter, saysAnything } from './adapter.js';
import { WebGpuDevice } from './device.js';

/** Where WebGPU comes from: npm `webgpu` in Node, `navigator.gpu` in a page. */
export interface GpuProvider {
  /**
   * The same object every time; the provider keeps it alive. Throws a VramError with advice where there is none.
   */
  gpu(): Promise<GPU>;
  /** Advice for WebGPU without an adapter. */
  readonly adviceWithoutAdapter: string;
}

/** The backend over the adapters of `provider`. */
export function webgpuBackend(provider: GpuProvider): Backend {
  return new WebGpuBackend(provider);
}

/**
 * A device over the caller's own GPUDevice, for `VramManager.open({ device })`: an engine shares its device with the
 * sealed weights. It stays the caller's: close() wipes and frees what was made on it without destroying it, and the
 * manager does not close it. Its limits bound the shards: request `maxBufferSize` and `maxStorageBufferBindingSize` as
 * large as the adapter has them.
 *
 * Until close() its owner must not destroy it, for every shard is then lost, and must not push or pop error scopes while a
 * call of the manager is under way: a device has one stack of them, and the manager's own are on it.
 *
 * The platform's own adapter information takes precedence; `adapterInfo` is for platforms without it
 * (GPUDevice.adapterInfo is recent). A device without any description counts as one that runs on the CPU.
 *
 * Errors: INVALID_INPUT, DEVICE_UNAVAILABLE (its known answers were wrong, CI-011), DEVICE_LOST.
 */
export async function adoptGpuDevice(
  device: GPUDevice,
  adapterInfo: AdapterFacts = {},
  options: OpenOptions = {},
): Promise<Device> {
  return await deviceOver(device, adapterInfo, options, false);
}

/**
 * Like adoptGpuDevice(), for a GPUDevice that has no other owner: close() destroys it.
 * Errors: INVALID_INPUT, DEVICE_UNAVAILABLE, DEVICE_LOST.
 */
export async function ownGpuDevice(
  device: GPUDevice,
  adapterInfo: AdapterFacts,
  options: OpenOptions = {},
): Promise<Device> {
  try {
    return await deviceOver(device, adapterInfo, options, true);
  } catch (error) {
    device.destroy();
    throw error;
  }
}

/** The GPUDevice behind a device, which an engine can share; null for a device of another backend. */
export function gpuDeviceOf(device: Device): GPUDevice | null {
  return device instanceof WebGpuDevice ? device.gpu : null;
}

async function deviceOver(
  gpu: GPUDevice,
  adapterInfo: AdapterFacts,
  options: OpenOptions,
  owned: boolean,
): Promise<Device> {
  const own: AdapterFacts = gpu.adapterInfo ?? {};
  const info = describeAdapter(saysAnything(own) ? own : adapterInfo, 0);
  return await proved(await WebGpuDevice.create(gpu, { ...options, info, owned }));
}

interface KnownAdapter {
  readonly info: DeviceInfo;
  readonly request: GPURequestAdapterOptions;
}

class WebGpuBackend implements Backend {
  readonly kind = 'webgpu';
  readonly #provider: GpuProvider;

  constructor(provider: GpuProvider) {
    this.#provider = provider;
  }

  async list(): Promise<readonly DeviceInfo[]> {
    const { adapters } = await this.#survey();
    return adapters.map(({ info }) => info);
  }

  async problem(): Promise<BackendProblem | null> {
    return (await this.#survey()).problem;
  }

  async open(index: number, options: OpenOptions = {}): Promise<Device> {
    if (options.windowBytes !== undefined) checkInteger('windowBytes', options.windowBytes, BLOCK_BYTES);
    const { adapters, problem } = await this.#survey();
    if (problem !== null) throw new VramError(problem.code, problem.message);
    const found = adapters.find(({ info }) => info.index === index);
    if (found === undefined) {
      const present = adapters.map(({ info }) => deviceId(info)).join(', ');
      throw invalidInput('index', `is not there; devices present: ${present}`);
    }
    const gpu = await this.#requestDevice(found);
    let device: WebGpuDevice;
    try {
      device = await WebGpuDevice.create(gpu, { ...options, info: found.info, owned: true });
    } catch (error) {
      gpu.destroy();
      throw error;
    }
    return await proved(device);
  }

  async #survey(): Promise<{
    readonly adapters: readonly KnownAdapter[];
    readonly problem: BackendProblem | null;
  }> {
    const adapters: KnownAdapter[] = [];
    try {
      const gpu = await this.#provider.gpu();
      const seen = new Set<string>();
      for (const request of ADAPTER_REQUESTS) {
        const adapter = await gpu.requestAdapter(request);
        if (adapter === null) continue;
        const key = adapterKey(adapter.info);
        if (seen.has(key)) continue;
        seen.add(key);
        adapters.push({ info: describeAdapter(adapter.info, adapters.length), request });
      }
    } catch (error) {
      const message = error instanceof Error ? error.message : 'the request for a WebGPU adapter failed';
      // A VramError of the provider means that WebGPU is missing; any other error means that WebGPU does not work.
      const failed = !isVramError(error);
      return { adapters: [], problem: { backend: this.kind, code: 'DEVICE_UNAVAILABLE', message, failed } };
    }
    if (adapters.length > 0) return { adapters, problem: null };
    const message = `WebGPU has no adapter here; ${this.#provider.adviceWithoutAdapter}`;
    return { adapters, problem: { backend: this.kind, code: 'DEVICE_UNAVAILABLE', message, failed: false } };
  }

  /** An adapter makes only one device, so it is requested again. Its buffer limits are raised to the maximum. */
  async #requestDevice({ info, request }: KnownAdapter): Promise<GPUDevice> {
    const unavailable = (cause: unknown): VramError =>
      new VramError('DEVICE_UNAVAILABLE', `${deviceId(info)} (${info.name}) could not be opened; try again`, {
        cause,
      });
    try {
      const gpu = await this.#provider.gpu();
      const adapter = await gpu.requestAdapter(request);
      if (adapter === null) throw new VramError('DEVICE_UNAVAILABLE', 'the adapter is no longer there');
      const { maxBufferSize, maxStorageBufferBindingSize } = adapter.limits;
      return await adapter.requestDevice({ requiredLimits: { maxBufferSize, maxStorageBufferBindingSize } });
    } catch (cause) {
      throw unavailable(cause);
    }
  }
}

async function proved(device: WebGpuDevice): Promise<Device> {
  try {
    await proveKnownAnswers(device, device.probeFill);
  } catch (error) {
    await device.close();
    throw error;
  }
  return device;
}
