import type { Platform } from './manager/index.js';
import { createNodeEngine, hostIsForced, nodeBackends, nodeCrypto } from './node/index.js';
import { activeTraceparent } from './telemetry/index.js';

/**
 * Node as the manager's platform. `VRAM_RESIDENCY_FORCE_HOST=1` is mock mode: the host device alone, marked as an override.
 * Errors: INVALID_INPUT for another word in it.
 */
export function nodePlatform(env: Readonly<Record<string, string | undefined>> = process.env): Platform {
  return {
    backends: (options) => nodeBackends(options),
    crypto: nodeCrypto,
    engine: () => createNodeEngine(),
    activeTraceparent,
    forceHost: hostIsForced(env),
  };
}
