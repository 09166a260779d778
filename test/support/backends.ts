import type { ContractTarget } from '../contract/cases.js';
import { cudaTargets } from './cuda-target.js';
import { hostTarget } from './host-target.js';
import { segmentedWebGpuTargets, webGpuTargets } from './webgpu-target.js';

export { cudaTargets, segmentedWebGpuTargets, webGpuTargets };

/** A backend that tests run over; `target` is null where it is missing here, and `missing` says why. */
export type PresentBackend =
  | { readonly name: string; readonly target: ContractTarget; readonly missing: null }
  | { readonly name: string; readonly target: null; readonly missing: string };

/** The host, and once more with segments so small that most ranges straddle some. */
export function hostTargets(): readonly PresentBackend[] {
  return [hostTarget('host'), hostTarget('host in segments of 64 KiB', { segmentBytes: 65_536 })].map(
    (target) => ({ name: target.name, target, missing: null }),
  );
}

/** Every backend of this machine, and those that are missing with the reason. */
export async function presentBackends(): Promise<readonly PresentBackend[]> {
  return [...hostTargets(), ...(await webGpuTargets()), ...(await cudaTargets())];
}
