// Engines in other processes of this host: who listens, and what they answer.
export { callEngine } from './engine-call.js';
export { type EngineAddress, listenerAmong } from './listening.js';
