import type { Platform } from '../manager/index.js';
import { activeTraceparent } from '../telemetry/index.js';
import { nodeCrypto } from './crypto.js';
import { hostIsForced, nodeBackends } from './devices/index.js';
import { createNodeEngine } from './digest/index.js';

/** Node as the manager's platform. `VRAM_RESIDENCY_FORCE_HOST=1` is mock mode: the host device alone, marked as an override. Errors: INVALID_INPUT for another word in it. */
export function nodePlatform(env: Readonly<Record<string, string | undefined>> = process.env): Platform {
  return {
    backends: () => nodeBackends(),
    crypto: nodeCrypto,
    engine: () => createNodeEngine(),
    activeTraceparent,
    forceHost: hostIsForced(env),
  };
}
