import { checkOneOf, invalidInput } from '../../base/index.js';
import { createPortableEngine, type DigestEngine, type EngineName } from '../../digest/index.js';
import { NativeEngine } from './native-engine.js';
import { findNativeHasher } from './native-hasher.js';

const ENGINES: readonly EngineName[] = ['native', 'wasm', 'hash-wasm'];
const VARIABLE = 'VRAM_RESIDENCY_DIGEST';

/**
 * The digest engine of Node: `name`, else what VRAM_RESIDENCY_DIGEST names, else `native`.
 * Errors: INVALID_INPUT naming "engine" or a variable; DEVICE_UNAVAILABLE for a processor that hashes wrongly.
 */
export function createNodeEngine(name?: EngineName): DigestEngine {
  const chosen = name === undefined ? namedEngine() : checkOneOf('engine', name, ENGINES);
  return chosen === 'native' ? new NativeEngine(findNativeHasher()) : createPortableEngine(chosen);
}

function namedEngine(): EngineName {
  const value = process.env[VARIABLE] ?? 'native';
  const engine = ENGINES.find((each) => each === value);
  if (engine !== undefined) return engine;
  throw invalidInput(VARIABLE, `must be one of ${ENGINES.join(', ')}, got ${JSON.stringify(value)}`);
}
