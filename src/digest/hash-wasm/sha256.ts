// A module of its own, which is loaded when the engine is first used: hash-wasm is 270 kB that most never need.
export { createSHA256 } from 'hash-wasm';
