import { invalidInput, VramError } from '../base/index.js';
import type { Backend, BackendProblem, Device, DeviceInfo, OpenOptions } from '../device/index.js';

/** Values of `--require`: an NVIDIA GPU by its driver, WebGPU, or kernels that run on any GPU. */
export const REQUIREMENTS = ['cuda', 'webgpu', 'hardware'] as const;
export type Requirement = (typeof REQUIREMENTS)[number];

/** The values of `--device` and `--require`. */
interface Asked {
  readonly device: string;
  readonly require?: Requirement | undefined;
}

/**
 * Refuses requests that no machine can meet, and mock mode, in which there is no GPU. Errors: INVALID_INPUT,
 * DEVICE_UNAVAILABLE.
 */
export function checkRequirement({ device, require }: Asked, forceHost: boolean): void {
  if (require === undefined) return;
  const kind = device.split(':', 1)[0] ?? device;
  const allowed = require === 'hardware' ? ['auto', 'cuda', 'webgpu'] : ['auto', require];
  if (!allowed.includes(kind)) throw invalidInput('require', `is ${require}, which ${device} cannot be`);
  if (forceHost)
    throw new VramError('DEVICE_UNAVAILABLE', `mock mode is forced, and ${described(require)} is required`);
}

/** The backends, as though devices that do not meet the requirement were not there. */
export function requiredBackends(
  backends: readonly Backend[],
  require: Requirement | undefined,
): readonly Backend[] {
  if (require === undefined) return backends;
  const kinds: readonly string[] = require === 'hardware' ? ['cuda', 'webgpu'] : [require];
  return backends.filter(({ kind }) => kinds.includes(kind)).map((backend) => new Required(backend, require));
}

/** Whether this device is what is required. */
export function meets(info: DeviceInfo, require: Requirement): boolean {
  return require === 'hardware' ? info.execution === 'hardware' : info.backend === require;
}

/** In a sentence. */
export function described(require: Requirement): string {
  return require === 'hardware' ? 'a GPU' : `a ${require} device`;
}

class Required implements Backend {
  readonly kind: Backend['kind'];
  readonly #backend: Backend;
  readonly #require: Requirement;

  constructor(backend: Backend, require: Requirement) {
    this.kind = backend.kind;
    this.#backend = backend;
    this.#require = require;
  }

  async list(): Promise<readonly DeviceInfo[]> {
    return (await this.#backend.list()).filter((info) => meets(info, this.#require));
  }

  async problem(): Promise<BackendProblem | null> {
    const infos = await this.#backend.list();
    if (infos.length === 0) return await this.#backend.problem();
    if (infos.some((info) => meets(info, this.#require))) return null;
    const found = infos.map(({ name, execution }) => `${name} (${execution})`).join(', ');
    const message = `${described(this.#require)} is required, and there is only ${found}`;
    return { backend: this.kind, code: 'DEVICE_UNAVAILABLE', message, failed: false };
  }

  open(index: number, options?: OpenOptions): Promise<Device> {
    return this.#backend.open(index, options);
  }
}
