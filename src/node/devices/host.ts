import { freemem, totalmem } from 'node:os';
import { constrainedMemory } from 'node:process';
import { type Backend, type BlockHasher, hostBackend } from '../../device/index.js';
import { createNodeEngine } from '../digest/index.js';
import { adviseHugePages } from './huge-pages.js';
import { nativeSinks } from './sinks.js';

export interface NodeHostOptions {
  /**
   * Hashes the resident bytes. The caller owns it and closes it. Default: the process's engine
   * (`VRAM_RESIDENCY_DIGEST`, else native).
   */
  readonly engine?: BlockHasher;
}

/**
 * 64 MiB: enough for many small shards, which gain most, and little compared with the memory of a process that seals
 * weights.
 */
const POOL_BYTES = 64 * 1024 * 1024;
const LIMIT_AGE_MS = 1000;

/**
 * The host backend of a Node process. Its capacity is the limit of the system or of the process's control group.
 *
 * Errors: INVALID_INPUT for an unknown engine name in `VRAM_RESIDENCY_DIGEST`.
 */
export function nodeHostBackend(options: NodeHostOptions = {}): Backend {
  const usableMemory = usableMemoryReader();
  const sinks = nativeSinks();
  return hostBackend({
    engine: options.engine ?? createNodeEngine(),
    totalMemory: usableMemory,
    freeMemory: () => Math.min(freemem(), usableMemory()),
    prepare: adviseHugePages,
    ...(sinks && { sinks }),
    poolBytes: POOL_BYTES,
  });
}

/**
 * The most bytes that the process may use. The limit of its control group is read once a second: it rarely changes, reading
 * it takes 50 microseconds, and sealing a shard asks five times.
 */
function usableMemoryReader(): () => number {
  let bytes = 0;
  let readAtMs = Number.NEGATIVE_INFINITY;
  return () => {
    const nowMs = performance.now();
    if (nowMs - readAtMs < LIMIT_AGE_MS) return bytes;
    readAtMs = nowMs;
    // 0 or undefined mean no limit; some systems report no limit as 2^64.
    const limit = constrainedMemory() ?? 0;
    bytes = limit > 0 ? Math.min(limit, totalmem()) : totalmem();
    return bytes;
  };
}
