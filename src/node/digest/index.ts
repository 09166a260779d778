// Digest engines in threads, and the addon's hashers.
export { createNodeEngine } from './create-engine.js';
export { findNativeHasher, nativeHasherNames } from './native-hasher.js';
