export { nodeCudaBackend } from './backend.js';
export { probeReadOnlyStore } from './probe.js';
