import type {
  Backend,
  BackendKind,
  BackendOptions,
  BackendProblem,
  Device,
  DeviceInfo,
  OpenOptions,
} from '../../device/index.js';
import { createNodeEngine } from '../digest/index.js';

/**
 * Every backend of a Node process, in the order in which `auto` tries them. Each is loaded on first use.
 *
 * Errors: INVALID_INPUT for an unknown engine name in `VRAM_RESIDENCY_DIGEST`.
 */
export function nodeBackends(options: BackendOptions = {}): readonly Backend[] {
  // Checked here, not when the host backend loads, so that a wrong name does not look like a missing device.
  const engine = createNodeEngine();
  return [
    new BackendOnFirstCall('cuda', async () => (await import('./cuda/index.js')).nodeCudaBackend(options)),
    new BackendOnFirstCall('webgpu', async () => (await import('./webgpu.js')).nodeWebGpuBackend()),
    new BackendOnFirstCall('host', async () => (await import('./host.js')).nodeHostBackend({ engine })),
  ];
}

/** A backend whose code is loaded on first use. */
class BackendOnFirstCall implements Backend {
  readonly kind: BackendKind;
  readonly #load: () => Promise<Backend>;
  #loaded: Promise<Backend> | null = null;

  constructor(kind: BackendKind, load: () => Promise<Backend>) {
    this.kind = kind;
    this.#load = load;
  }

  async list(): Promise<readonly DeviceInfo[]> {
    return await (await this.#backend()).list();
  }

  async problem(): Promise<BackendProblem | null> {
    return await (await this.#backend()).problem();
  }

  async open(index: number, options?: OpenOptions): Promise<Device> {
    return await (await this.#backend()).open(index, options);
  }

  #backend(): Promise<Backend> {
    this.#loaded ??= this.#load();
    return this.#loaded;
  }
}
