import { checkOptions } from '../../base/index.js';
import { runOperation, TRACE_KEYS, type TraceOptions } from '../../events/index.js';
import type { Core } from '../state/index.js';

/** Device memory as this manager may use it. Bytes; null where neither the platform nor a budget gives a figure (WK-003). */
export interface Capacity {
  readonly totalBytes: number | null;
  /** Taken by this manager's shards, sealed or being sealed. */
  readonly usedBytes: number;
  /** Verification scratch, reserved at open. */
  readonly scratchBytes: number;
  readonly availableBytes: number | null;
  /** Where the total comes from. */
  readonly source: 'driver' | 'system' | 'budget' | 'none';
}

/** See VramManager.capacity. */
export async function queryCapacity(core: Core, options: TraceOptions): Promise<Capacity> {
  return await runOperation(core.events, 'capacity', options, async (operation) => {
    checkOptions('options', options, TRACE_KEYS);
    core.lifecycle.requireDevice();
    const { totalBytes, freeBytes, source } = await core.device.capacity();
    const { budgetBytes, usedBytes, scratchBytes } = core.ledger;
    // The device's figure is slightly older than the manager's, so that together they never overstate the free memory.
    const rest = totalBytes === null ? null : Math.max(0, totalBytes - usedBytes);
    const available = core.ledger.availableBytes(freeBytes);
    const budgeted = budgetBytes !== null && (totalBytes === null || budgetBytes < totalBytes);
    const capacity: Capacity = Object.freeze({
      totalBytes: budgeted ? budgetBytes : totalBytes,
      usedBytes,
      scratchBytes,
      availableBytes: available === null || rest === null ? available : Math.min(available, rest),
      source: budgeted ? 'budget' : source,
    });
    const found = {
      totalBytes: capacity.totalBytes,
      usedBytes,
      availableBytes: capacity.availableBytes,
      source: capacity.source,
    };
    await operation.emit('capacity.queried', found, operation.elapsedMs);
    return capacity;
  });
}
