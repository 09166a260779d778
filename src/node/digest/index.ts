export { createNodeEngine } from './create-engine.js';
