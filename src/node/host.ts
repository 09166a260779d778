import { freemem, totalmem } from 'node:os';
import { constrainedMemory } from 'node:process';
import { hostBackend } from '../device/host/index.js';
import type { Backend } from '../device/types.js';

/** The host backend of a Node process: capacity is what the system, or the process's control group, lets it have. */
export function nodeHostBackend(): Backend {
  return hostBackend({ totalMemory: usableMemory, freeMemory: () => Math.min(freemem(), usableMemory()) });
}

function usableMemory(): number {
  // 0 or undefined: no limit is set; some systems report "no limit" as 2^64.
  const limit = constrainedMemory() ?? 0;
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}
