import type { Backend } from '../../device/index.js';
import { nodeCudaBackend } from './cuda/index.js';
import { nodeHostBackend } from './host.js';
import { nodeWebGpuBackend } from './webgpu.js';

/** Every backend of a Node process, in the order in which `auto` tries them. Nothing is loaded before it is asked for. */
export function nodeBackends(): readonly Backend[] {
  return [nodeCudaBackend(), nodeWebGpuBackend(), nodeHostBackend()];
}
