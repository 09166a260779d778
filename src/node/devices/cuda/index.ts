// The CUDA backend in Node: the addon loaded, the driver's file judged, a store to read-only memory tried.
export { nodeCudaBackend } from './backend.js';
export { loadAddon } from './loader.js';
export { probeReadOnlyStore } from './probe.js';
