import type { ContractTarget } from '../contract/cases.js';
import { hostTarget } from './host-target.js';
import { webGpuTargets } from './webgpu-target.js';

/** A backend that tests run over; `target` is null where it is missing here, and `missing` says why. */
export type PresentBackend =
  | { readonly name: string; readonly target: ContractTarget; readonly missing: null }
  | { readonly name: string; readonly target: null; readonly missing: string };

/** Every backend of this machine, and those that are missing with the reason. */
export async function presentBackends(): Promise<readonly PresentBackend[]> {
  const host = [
    hostTarget('host'),
    hostTarget('host in segments of 64 KiB', { segmentBytes: 65_536 }),
  ].map((target) => ({ name: target.name, target, missing: null }));
  return [...host, ...(await webGpuTargets())];
}
