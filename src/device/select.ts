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
  /** True for a device that is there and could not be opened, such as one whose known answers were wrong; false for a backend without devices. */
  readonly listed: boolean;
}

export interface SelectOptions extends OpenOptions {
  /** Mock mode (`VRAM_RESIDENCY_FORCE_HOST=1`): the host backend, marked as an override; no other device may be asked for. */
  readonly forceHost?: boolean;
  /** Told of everything that `auto` passes over, in order, for diagnostics. */
  readonly onSkipped?: (skipped: SkippedDevice) => void;
}

const WANTED = /^(cuda|webgpu):(0|[1-9][0-9]{0,8})$/;

/**
 * Opens the device that was asked for: `auto`, `cuda:N`, `webgpu:N` or `host`. `auto` tries CUDA, hardware WebGPU, software WebGPU and the host, in
 * that order, and passes over what fails; a device asked for by name is opened or refused, never replaced.
 *
 * Errors: INVALID_INPUT (not a device name, or an index that is not there: the message lists the devices present, IV-002), DEVICE_UNAVAILABLE,
 * and those of the backend's open().
 */
export async function selectDevice(
  backends: readonly Backend[],
  wanted: string,
  options: SelectOptions = {},
): Promise<Device> {
  const { forceHost = false, onSkipped, ...openOptions } = options;
  const request = parse(wanted);
  // Checked here so that `auto` cannot take a wrong option for a fault of every device.
  if (openOptions.windowBytes !== undefined)
    checkInteger('windowBytes', openOptions.windowBytes, BLOCK_BYTES);
  if (forceHost) {
    if (request.kind !== 'auto' && request.kind !== 'host') {
      throw invalidInput('device', `is ${wanted}, but mock mode is forced: only auto and host can be used`);
    }
    // The host backend alone takes this option: it marks the device as an override of what the machine has.
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

function parse(wanted: unknown): Request {
  if (wanted === 'auto' || wanted === 'host') return { kind: wanted, index: 0 };
  const match = typeof wanted === 'string' ? WANTED.exec(wanted) : null;
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
    throw invalidInput('device', `is ${backend.kind}:${index}, which is not there; devices present: ${list}`);
  }
  const problem = await backend.problem();
  const why = problem?.message ?? `no ${backend.kind} device was found`;
  throw new VramError(
    'DEVICE_UNAVAILABLE',
    `${backend.kind}:${index} cannot be used: ${why}; devices present: ${list}`,
  );
}

/** A list for an error message: a backend that cannot even be listed has no devices to offer. */
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
function rank(info: DeviceInfo): number {
  if (info.backend === 'cuda') return 0;
  if (info.backend === 'host') return 3;
  return info.execution === 'hardware' ? 1 : 2;
}

async function openFirst(
  backends: readonly Backend[],
  options: OpenOptions,
  onSkipped: SelectOptions['onSkipped'],
): Promise<Device> {
  const reasons: string[] = [];
  const causes: unknown[] = [];
  const skip = (device: string, error: unknown, listed = false): void => {
    const code = isVramError(error) ? error.code : 'DEVICE_UNAVAILABLE';
    const message = error instanceof Error ? error.message : 'an unknown error';
    reasons.push(`${device}: ${message}`);
    causes.push(error);
    onSkipped?.({ device, code, message, listed });
  };

  const candidates: Candidate[] = [];
  for (const backend of backends) {
    try {
      const infos = await backend.list();
      for (const info of infos) candidates.push({ backend, info });
      const problem = infos.length === 0 ? await backend.problem() : null;
      if (problem !== null) skip(backend.kind, new VramError(problem.code, problem.message));
    } catch (error) {
      skip(backend.kind, error);
    }
  }
  candidates.sort((a, b) => rank(a.info) - rank(b.info) || a.info.index - b.info.index);
  for (const { backend, info } of candidates) {
    try {
      return await backend.open(info.index, options);
    } catch (error) {
      skip(deviceId(info), error, true);
    }
  }
  const why = reasons.length === 0 ? 'there is no backend' : reasons.join('; ');
  throw new VramError('DEVICE_UNAVAILABLE', `no device can be used: ${why}`, {
    cause: causes.length === 1 ? causes[0] : new AggregateError(causes, 'every device failed'),
  });
}
