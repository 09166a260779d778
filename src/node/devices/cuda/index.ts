// The CUDA backend in Node: loads the addon, judges the driver's file, and tries a store to read-only memory.
export { nodeCudaBackend } from './backend.js';
export { loadAddon } from './loader.js';
export { probeReadOnlyStore } from './probe.js';
