import { checkInteger, type ErrorCode, invalidInput, isVramError, VramError } from '../base/index.js';
import { BLOCK_BYTES } from '../digest/index.js';
import {
  type Backend,
  type BackendKind,
  type Device,
  type DeviceInfo,
  deviceId,
  type OpenOptions,
} from './types.js';

/** A backend or device that `auto` passed over. */
export interface SkippedDevice {
  /** `cuda:0`, or the backend's name alone where no device of it could be listed. */
  readonly device: string;
  readonly code: ErrorCode;
  readonly message: string;
  /**
   * True for an installed device or driver that does not work: one that could not be opened, for example because its
   * known answers were wrong, or a driver that does not load. False where nothing of the kind is installed.
   */
  readonly failed: boolean;
}

export interface SelectOptions extends OpenOptions {
  /**
   * Mock mode (`VRAM_RESIDENCY_FORCE_HOST=1`): the host backend, marked as an override; no other device may be requested.
   */
  readonly forceHost?: boolean;
  /**
   * Receives what `auto` passes over: everything that failed, and the missing kinds that precede the chosen device, or
   * all of them if no device can be opened.
   */
  readonly onSkipped?: (skipped: SkippedDevice) => void;
}

const REQUEST = /^(cuda|webgpu):(0|[1-9][0-9]{0,8})$/;

/**
 * Opens the requested device: `auto`, `cuda:N`, `webgpu:N` or `host`. `auto` tries CUDA, hardware WebGPU, software WebGPU
 * and the host, in that order, and passes over what fails; a device requested by name is opened or refused, never
 * replaced.
 *
 * Errors: INVALID_INPUT (not a device name, or an index that is not there: the message lists the devices present, IV-002),
 * DEVICE_UNAVAILABLE, and those of the backend's open().
 */
export async function selectDevice(
  backends: readonly Backend[],
  requested: string,
  options: SelectOptions = {},
): Promise<Device> {
  const { forceHost = false, onSkipped, ...openOptions } = options;
  const request = parse(requested);
  // Checked here so that `auto` does not mistake a wrong option for a fault of every device.
  if (openOptions.windowBytes !== undefined)
    checkInteger('windowBytes', openOptions.windowBytes, BLOCK_BYTES);
  if (forceHost) {
    if (request.kind !== 'auto' && request.kind !== 'host') {
      throw invalidInput(
        'device',
        `is ${requested}, but mock mode is forced: only auto and host can be used`,
      );
    }
    // Only the host backend takes this option: it marks the device as an override of the machine's hardware.
    const forced: SelectOptions = { ...openOptions, forceHost: true };
    return backendOf(backends, 'host').open(0, forced);
  }
  if (request.kind === 'auto') return await openFirst(backends, openOptions, onSkipped);
  return await openNamed(backends, backendOf(backends, request.kind), request.index, openOptions);
}

interface Request {
  readonly kind: BackendKind | 'auto';
  readonly index: number;
}

function parse(requested: unknown): Request {
  if (requested === 'auto' || requested === 'host') return { kind: requested, index: 0 };
  const match = typeof requested === 'string' ? REQUEST.exec(requested) : null;
  const kind = match?.[1];
  if (kind !== 'cuda' && kind !== 'webgpu') {
    throw invalidInput('device', 'must be auto, cuda:N, webgpu:N or host');
  }
  return { kind, index: Number(match?.[2]) };
}

function backendOf(backends: readonly Backend[], kind: BackendKind): Backend {
  const found = backends.find((backend) => backend.kind === kind);
  if (found === undefined) {
    throw new VramError('DEVICE_UNAVAILABLE', `the ${kind} backend is not part of this environment`);
  }
  return found;
}

async function openNamed(
  backends: readonly Backend[],
  backend: Backend,
  index: number,
  options: OpenOptions,
): Promise<Device> {
  const infos = await backend.list();
  if (infos.some((info) => info.index === index)) return await backend.open(index, options);
  const present = await presentDevices(backends);
  const list = present.length === 0 ? 'none' : present.join(', ');
  if (infos.length > 0) {
    throw invalidInput(
      'device',
      `is ${backend.kind}:${index}, which does not exist; devices present: ${list}`,
    );
  }
  const problem = await backend.problem();
  const why = problem?.message ?? `no ${backend.kind} device was found`;
  throw new VramError(
    'DEVICE_UNAVAILABLE',
    `${backend.kind}:${index} cannot be used: ${why}; devices present: ${list}`,
  );
}

/** For an error message: a backend that cannot be listed contributes no devices. */
async function presentDevices(backends: readonly Backend[]): Promise<string[]> {
  const lists = await Promise.all(
    backends.map((backend) => backend.list().catch((): readonly DeviceInfo[] => [])),
  );
  return lists.flat().map((info) => deviceId(info));
}

interface Candidate {
  readonly backend: Backend;
  readonly info: DeviceInfo;
}

/** The order of `auto`; smaller is tried first. */
function rank({ backend, execution }: Pick<DeviceInfo, 'backend' | 'execution'>): number {
  if (backend === 'cuda') return 0;
  if (backend === 'host') return 3;
  return execution === 'hardware' ? 1 : 2;
}

async function openFirst(
  backends: readonly Backend[],
  options: OpenOptions,
  onSkipped: SelectOptions['onSkipped'],
): Promise<Device> {
  const skipped: { readonly kind: BackendKind; readonly what: SkippedDevice; readonly cause: unknown }[] = [];
  const skip = (kind: BackendKind, device: string, cause: unknown, failed = true): void => {
    const code = isVramError(cause) ? cause.code : 'DEVICE_UNAVAILABLE';
    const message = cause instanceof Error ? cause.message : 'an unknown error';
    skipped.push({ kind, what: { device, code, message, failed }, cause });
  };
  /** The best class that a missing kind could have offered. */
  const best = (kind: BackendKind): number => rank({ backend: kind, execution: 'hardware' });
  const reportSkipped = (chosen: number): void => {
    for (const { kind, what } of skipped) if (what.failed || best(kind) < chosen) onSkipped?.(what);
  };

  const candidates: Candidate[] = [];
  for (const backend of backends) {
    try {
      const infos = await backend.list();
      for (const info of infos) candidates.push({ backend, info });
      const problem = infos.length === 0 ? await backend.problem() : null;
      if (problem !== null)
        skip(backend.kind, backend.kind, new VramError(problem.code, problem.message), problem.failed);
    } catch (error) {
      skip(backend.kind, backend.kind, error);
    }
  }
  candidates.sort((a, b) => rank(a.info) - rank(b.info) || a.info.index - b.info.index);
  for (const { backend, info } of candidates) {
    try {
      const device = await backend.open(info.index, options);
      reportSkipped(rank(info));
      return device;
    } catch (error) {
      skip(backend.kind, deviceId(info), error);
    }
  }
  reportSkipped(Number.POSITIVE_INFINITY);
  const reasons = skipped.map(({ what: { device, message } }) => `${device}: ${message}`);
  const causes = skipped.map(({ cause }) => cause);
  const why = reasons.length === 0 ? 'there is no backend' : reasons.join('; ');
  throw new VramError('DEVICE_UNAVAILABLE', `no device can be used: ${why}`, {
    cause: causes.length === 1 ? causes[0] : new AggregateError(causes, 'every device failed'),
  });
}
