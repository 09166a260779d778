import type { DeviceInfo, KernelExecution } from '../types.js';

/** GPUAdapterInfo with what some browsers add to the standard's fields. */
export interface AdapterFacts {
  readonly vendor?: string;
  readonly architecture?: string;
  readonly device?: string;
  readonly description?: string;
  readonly isFallbackAdapter?: boolean;
  /** Chromium with developer features: `discrete GPU`, `integrated GPU`, `CPU`. */
  readonly type?: string;
  /** Chromium with developer features. */
  readonly driver?: string;
}

/** Vulkan and Direct3D implementations that run on a CPU. */
const CPU_ADAPTERS = /llvmpipe|lavapipe|swiftshader|basic render|warp\b/i;
const MAX_NAME_LENGTH = 200;

/** Requests that may return different adapters, best first. */
export const ADAPTER_REQUESTS: readonly GPURequestAdapterOptions[] = [
  { powerPreference: 'high-performance' },
  { powerPreference: 'low-power' },
  { forceFallbackAdapter: true },
];

/** Equal for adapters that cannot be distinguished. */
export function adapterKey(facts: AdapterFacts): string {
  const { vendor, architecture, device, description, isFallbackAdapter } = facts;
  return JSON.stringify([vendor, architecture, device, description, isFallbackAdapter === true]);
}

/** Whether the adapter has information that distinguishes GPU from CPU; without it nothing counts as hardware. */
export function saysAnything(facts: AdapterFacts): boolean {
  const { vendor, architecture, device, description, isFallbackAdapter, type } = facts;
  return isFallbackAdapter !== undefined || [vendor, architecture, device, description, type].some(isText);
}

/**
 * The adapter's description of itself; WebGPU reports neither the amount of memory nor, outside of developer modes, its
 * kind.
 */
export function describeAdapter(facts: AdapterFacts, index: number): DeviceInfo {
  const names = [facts.vendor, facts.architecture, facts.device, facts.description].filter(isText);
  const isCpu =
    !saysAnything(facts) ||
    facts.isFallbackAdapter === true ||
    facts.type === 'CPU' ||
    CPU_ADAPTERS.test(names.join(' '));
  const execution: KernelExecution = isCpu ? 'software' : 'hardware';
  const product = [facts.vendor, facts.architecture].filter(isText).join(' ');
  return {
    backend: 'webgpu',
    index,
    name: shown([facts.device, facts.description, product].find(isText) ?? 'WebGPU adapter'),
    uuid: null,
    driver: shown([facts.driver, facts.description].find(isText) ?? '') || null,
    execution,
    ecc: 'unknown',
    facts: {
      backend: 'webgpu',
      execution,
      integrated: integratedOf(facts.type),
      memoryType: null,
      fallbackAdapter: isCpu,
      pageable: null,
      computeCapability: null,
      totalBytes: null,
      driverOverride: false,
      driverFile: null,
      driverDoubt: null,
      kernelsReplaced: false,
    },
  };
}

function integratedOf(type: string | undefined): boolean | null {
  if (type === 'integrated GPU') return true;
  if (type === 'discrete GPU') return false;
  return null;
}

function isText(value: string | undefined): value is string {
  return value !== undefined && value.trim() !== '';
}

/** Names come from drivers, so control characters are removed and the length is limited. */
function shown(text: string): string {
  return text.replace(/\p{C}/gu, ' ').trim().slice(0, MAX_NAME_LENGTH);
}
