export { nodeBackends } from './backends.js';
export { probeReadOnlyStore } from './cuda/index.js';
export { hostIsForced } from './force-host.js';
