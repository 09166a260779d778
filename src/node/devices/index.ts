// The backends of Node, and which one `auto` selects.
import { onFirstCall } from '../on-first-call.js';

export { nodeBackends } from './backends.js';
export { hostIsForced } from './force-host.js';

/**
 * The read-only store probe of `selftest`, in a child process, since a refused store voids the context.
 * Errors: INVALID_INPUT; DEVICE_UNAVAILABLE with the child's last output if it ended without an answer.
 */
export const probeReadOnlyStore = onFirstCall(
  async () => (await import('./cuda/index.js')).probeReadOnlyStore,
);

/** Dawn's GPU object, always the same one. Errors: DEVICE_UNAVAILABLE without the npm package `webgpu`. */
export const dawnGpu = onFirstCall(async () => (await import('./webgpu.js')).dawnGpu);

/**
 * The addon of this machine, for callers that need more of it than a device. Errors: DEVICE_UNAVAILABLE; the message
 * says whether the machine, the file or its version is at fault, and what to do.
 */
export const loadAddon = onFirstCall(async () => (await import('./cuda/index.js')).loadAddon);
