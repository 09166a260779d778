export { nodeCudaBackend } from './backend.js';
export { loadAddon } from './loader.js';
export { probeReadOnlyStore } from './probe.js';
