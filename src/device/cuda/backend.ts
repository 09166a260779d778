import { checkInteger, invalidInput, VramError } from '../../base/index.js';
import { BLOCK_BYTES } from '../../digest/index.js';
import { proveKnownAnswers } from '../known-answers.js';
import type { Backend, BackendProblem, Device, DeviceInfo, OpenOptions } from '../types.js';
import type { Addon, DeviceRecord, DriverHandle, DriverInfo } from './addon.js';
import { CudaDevice, STAGING_BYTES } from './device.js';
import { cudaVersion, type DriverOrigin, deviceInfo, type PointerInfo } from './facts.js';
import { NotInstalled, nativeFailure, typed } from './failures.js';
import { type Kernels, kernelsInWords } from './kernels.js';

/**
 * One dispatch of 1,048,576 threads, and 33 MiB of scratch. Measured on an H200 over 32 GiB: 566 GB/s with windows of 1
 * GiB, 690 with 4, 732 with 16 (docs/decisions/cuda-kernels.md).
 */
const DEFAULT_WINDOW_BYTES = 2 ** 32;
/** 128 MiB of scratch. */
const MAX_WINDOW_BYTES = 2 ** 34;
/** CUDA 12.0: the PTX is version 8.0 (driver 525). */
const OLDEST_CUDA = 12_000;
const ADDON_INTERFACE = 5;
/** A small allocation whose memory type the driver reports. */
const PROBE_BYTES = BLOCK_BYTES;

/** Provided by the platform: the portable part accesses no files or environment variables. */
export interface CudaEnvironment {
  /** Loads the addon. Errors: DEVICE_UNAVAILABLE, saying what would help. */
  addon(): Promise<Addon>;
  /** The library to open instead of the system's; null for the system's. */
  readonly libraryPath: string | null;
  /** Whether the system may page device memory out, given the driver library's real path; null if that is not known. */
  pageable(libraryPath: string): boolean | null;
  /**
   * Why these files of the driver need not be the system's own; completes "the driver ..."; null if they are, or are
   * trusted.
   */
  driverDoubt(files: readonly string[]): Promise<string | null>;
  /** Errors: DEVICE_UNAVAILABLE, with the file that cannot be used and the option that named it. */
  kernels(): Promise<Kernels>;
}

interface Opened {
  readonly addon: Addon;
  readonly driver: DriverHandle;
  readonly info: DriverInfo;
  readonly kernels: Kernels;
  readonly kernelsInWords: string;
}

/** The backend for NVIDIA GPUs. Nothing is loaded before the first call. */
export function cudaBackend(environment: CudaEnvironment): Backend {
  return new CudaBackend(environment);
}

class CudaBackend implements Backend {
  readonly kind = 'cuda';
  readonly #environment: CudaEnvironment;
  #opened: Promise<Opened> | null = null;
  /** Why the last list() was empty. */
  #listFailure: VramError | null = null;

  constructor(environment: CudaEnvironment) {
    this.#environment = environment;
  }

  async list(): Promise<readonly DeviceInfo[]> {
    const found = await this.#found();
    if (found === null) return [];
    const [opened, records] = found;
    const pointers = await Promise.all(records.map((record) => this.#probe(opened, record.index)));
    // After the probes: the driver loads further libraries when it is used.
    const origin = await this.#origin(opened);
    return records.map((record, at) => deviceInfo(opened.info, record, pointers[at] ?? null, origin));
  }

  async problem(): Promise<BackendProblem | null> {
    // problem() explains the last list().
    const found = this.#listFailure === null ? await this.#found() : null;
    if (this.#listFailure !== null) {
      const { code, message } = this.#listFailure;
      return { backend: 'cuda', code, message, failed: !isAbsence(this.#listFailure) };
    }
    if (found !== null && found[1].length > 0) return null;
    const message = 'the NVIDIA driver found no device';
    return { backend: 'cuda', code: 'DEVICE_UNAVAILABLE', message, failed: true };
  }

  async open(index: number, options: OpenOptions = {}): Promise<Device> {
    const windowBytes = checkInteger('windowBytes', options.windowBytes ?? DEFAULT_WINDOW_BYTES, BLOCK_BYTES);
    const [opened, records] = await this.#records();
    const record = records.find((candidate) => candidate.index === index);
    if (record === undefined) {
      const present = records.map((candidate) => `cuda:${candidate.index}`).join(', ');
      throw invalidInput('index', `is not there; devices present: ${present === '' ? 'none' : present}`);
    }
    const device = await this.#create(opened, record, {
      windowBytes: Math.min(windowBytes, MAX_WINDOW_BYTES),
      drills: options.drills === true,
    });
    try {
      await proveKnownAnswers(device, device.probeFill);
    } catch (error) {
      await device.close();
      throw error;
    }
    return device;
  }

  async #create(
    opened: Opened,
    record: DeviceRecord,
    options: { readonly windowBytes: number; readonly drills: boolean },
  ): Promise<CudaDevice> {
    const { addon, driver, info, kernels } = opened;
    const device = await addon.open(driver, record.index, STAGING_BYTES).catch((error: unknown) => {
      throw typed(error, 'DEVICE_UNAVAILABLE', `cuda:${record.index} could not be opened`);
    });
    try {
      return await CudaDevice.create({
        addon,
        device,
        kernels,
        ...options,
        info: async (pointer) => deviceInfo(info, record, pointer, await this.#origin(opened)),
      });
    } catch (error) {
      // The first failure is reported.
      await addon.close(device).catch(() => undefined);
      throw error;
    }
  }

  /** The memory type that the driver reports; null if it does not, which proves nothing about the device. */
  async #probe({ addon, driver }: Opened, index: number): Promise<PointerInfo | null> {
    try {
      const device = await addon.open(driver, index, PROBE_BYTES);
      try {
        return await addon.pointerInfo(await addon.allocate(device, PROBE_BYTES, false));
      } finally {
        await addon.close(device);
      }
    } catch {
      return null;
    }
  }

  async #origin({ addon, driver, info, kernels, kernelsInWords }: Opened): Promise<DriverOrigin> {
    const files = await addon.driverFiles(driver);
    return {
      driverOverride: this.#environment.libraryPath !== null,
      pageable: this.#environment.pageable(info.path),
      file: files[0] ?? null,
      doubt: await this.#environment.driverDoubt(files),
      kernels: kernelsInWords,
      kernelsReplaced: kernels.replaced,
    };
  }

  async #found(): Promise<readonly [Opened, readonly DeviceRecord[]] | null> {
    try {
      const found = await this.#records();
      this.#listFailure = null;
      return found;
    } catch (error) {
      this.#listFailure = typed(error, 'DEVICE_UNAVAILABLE', 'the NVIDIA driver cannot be used');
      return null;
    }
  }

  async #records(): Promise<readonly [Opened, readonly DeviceRecord[]]> {
    const opened = await this.#open();
    try {
      return [opened, await opened.addon.devices(opened.driver)];
    } catch (error) {
      throw typed(error, 'DEVICE_UNAVAILABLE', 'the NVIDIA driver could not list its devices');
    }
  }

  /** A success is cached; a failure is retried at the next call. */
  async #open(): Promise<Opened> {
    this.#opened ??= this.#load();
    try {
      return await this.#opened;
    } catch (error) {
      this.#opened = null;
      throw error;
    }
  }

  async #load(): Promise<Opened> {
    const { libraryPath } = this.#environment;
    const addon = await this.#environment.addon();
    if (addon.interfaceVersion !== ADDON_INTERFACE) {
      throw new VramError(
        'DEVICE_UNAVAILABLE',
        'the CUDA addon belongs to another version of this package ' +
          `(interface ${addon.interfaceVersion}, not ${ADDON_INTERFACE}); ` +
          'install the package again, or run npm run build:native in a clone of its repository',
      );
    }
    const driver = await addon.load(libraryPath).catch((error: unknown) => {
      throw loadFailure(error, libraryPath);
    });
    const info = addon.driverInfo(driver);
    if (info.version < OLDEST_CUDA) {
      throw new VramError(
        'DEVICE_UNAVAILABLE',
        `the NVIDIA driver serves CUDA ${cudaVersion(info.version)}; 12.0 is needed: install driver 525 or newer`,
      );
    }
    const kernels = await this.#environment.kernels();
    return { addon, driver, info, kernels, kernelsInWords: await kernelsInWords(kernels) };
  }
}

/**
 * The system's loader found no library of the requested name. A library that it found but could not load is a different
 * error.
 */
const NOT_INSTALLED = /^libcuda\.so\.1: cannot open shared object file: No such file or directory$/;

/** There is no driver, or no addon for this machine. */
function isAbsence({ cause }: VramError): boolean {
  if (cause instanceof NotInstalled) return true;
  return (
    nativeFailure(cause)?.code === 'NO_DRIVER' && cause instanceof Error && NOT_INSTALLED.test(cause.message)
  );
}

/** Advice for a driver file that was named. */
const NAMED_DRIVER =
  "set VRAM_RESIDENCY_LIBCUDA to the file of driver 525 or newer, or unset it for the system's own";

function loadFailure(error: unknown, libraryPath: string | null): VramError {
  if (nativeFailure(error)?.code === 'NO_DRIVER' && error instanceof Error) {
    const remedy = libraryPath === null ? 'install driver 525 or newer' : NAMED_DRIVER;
    return new VramError('DEVICE_UNAVAILABLE', `no NVIDIA driver can be used (${error.message}); ${remedy}`, {
      cause: error,
    });
  }
  return typed(
    error,
    'DEVICE_UNAVAILABLE',
    libraryPath === null
      ? 'the NVIDIA driver could not be started'
      : `the NVIDIA driver ${libraryPath} could not be started; ${NAMED_DRIVER}`,
  );
}
