// Digest engines in threads, and the addon's hashers.
export { createNodeEngine } from './create-engine.js';
