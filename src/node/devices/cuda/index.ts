// The CUDA backend in Node: loads the addon, checks where the driver's files lie, and tries a store to read-only memory.
export { nodeCudaBackend } from './backend.js';
export { loadAddon } from './loader.js';
export { probeReadOnlyStore } from './probe.js';
