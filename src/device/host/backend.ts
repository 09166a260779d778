import { checkInteger, invalidInput } from '../../base/index.js';
import { BLOCK_BYTES, WasmEngine } from '../../digest/index.js';
import { proveKnownAnswers } from '../known-answers.js';
import type { Backend, BackendProblem, DeviceInfo } from '../types.js';
import { HostDevice } from './device.js';
import type { BlockHasher } from './kernels.js';
import type { HostOpenOptions, HostOptions } from './options.js';

/** Below the size at which an engine without the addon would copy a window to worker threads. */
const DEFAULT_WINDOW_BYTES = 2 * 1024 * 1024;
/** For an engine that hashes in threads: each window ends with a wait for all of them, so there should be few windows. */
const THREADED_WINDOW_BYTES = 8 * 1024 * 1024;
/** Above this, a larger window is no faster and only needs more scratch. */
const MAX_WINDOW_BYTES = 64 * 1024 * 1024;
const DEFAULT_SEGMENT_BYTES = 256 * 1024 * 1024;

/**
 * The backend over system memory: one device, `host`, always present. Class `host`, so the default policy refuses it.
 *
 * Errors: INVALID_INPUT for a segment size that is not a positive multiple of 4096.
 */
export function hostBackend(options: HostOptions = {}): Backend {
  return new HostBackend(options);
}

class HostBackend implements Backend {
  readonly kind = 'host';
  readonly #options: HostOptions;
  readonly #segmentBytes: number;
  readonly #engine: BlockHasher;

  constructor(options: HostOptions) {
    this.#options = options;
    this.#engine = options.engine ?? new WasmEngine();
    this.#segmentBytes = checkInteger(
      'segmentBytes',
      options.segmentBytes ?? DEFAULT_SEGMENT_BYTES,
      BLOCK_BYTES,
      2 ** 31,
    );
    if (this.#segmentBytes % BLOCK_BYTES !== 0)
      throw invalidInput('segmentBytes', 'must be a multiple of 4096');
  }

  async list(): Promise<readonly DeviceInfo[]> {
    return [this.#info(false)];
  }

  async problem(): Promise<BackendProblem | null> {
    return null;
  }

  async open(index: number, options: HostOpenOptions = {}): Promise<HostDevice> {
    if (index !== 0) throw invalidInput('index', 'is not there; devices present: host');
    const windowBytes = checkInteger(
      'windowBytes',
      options.windowBytes ?? this.#defaultWindow(),
      BLOCK_BYTES,
    );
    const device = new HostDevice({
      info: this.#info(options.forceHost === true),
      engine: this.#engine,
      windowBytes: Math.min(windowBytes, MAX_WINDOW_BYTES),
      segmentBytes: this.#segmentBytes,
      drills: options.drills === true,
      host: this.#options,
    });
    try {
      await proveKnownAnswers(device, null);
    } catch (error) {
      await device.close();
      throw error;
    }
    return device;
  }

  #defaultWindow(): number {
    return this.#engine.hashResident === undefined ? DEFAULT_WINDOW_BYTES : THREADED_WINDOW_BYTES;
  }

  #info(driverOverride: boolean): DeviceInfo {
    return {
      backend: 'host',
      index: 0,
      name: 'system memory',
      uuid: null,
      driver: null,
      execution: 'software',
      ecc: 'unknown',
      facts: {
        backend: 'host',
        execution: 'software',
        integrated: null,
        memoryType: 'host',
        fallbackAdapter: null,
        pageable: null,
        computeCapability: null,
        totalBytes: this.#options.totalMemory?.() ?? null,
        driverOverride,
        driverFile: null,
        driverDoubt: null,
        kernelsReplaced: false,
      },
    };
  }
}
