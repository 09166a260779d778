import { isVramError } from '../../base/index.js';
import { runOperation } from '../../events/index.js';
import type { Core } from './core.js';

/** ST-003: when the device goes, every seal on it is void at once. */
export function watchDevice(core: Core): void {
  core.device.lost
    .then(async ({ message }) => {
      // False for a device that goes because its manager was closed.
      if (!core.lifecycle.lose(message)) return;
      for (const shard of core.shards.list()) revokeLeases(shard.leases, core.lifecycle.end);
      await runOperation(core.events, 'stop', undefined, async (operation) => {
        await operation.tell('device.lost', { reason: message, shards: core.shards.size });
      });
    })
    .catch((error: unknown) => {
      // Nobody waits for this: an observer that failed has no operation to fail. The loss itself is already in force.
      if (!isVramError(error)) throw error;
    });
}

/** Ends running leases with the reason why their shard can no longer be trusted. Returns how many. */
export function revokeLeases(leases: ReadonlySet<AbortController>, reason: unknown): number {
  const running = [...leases];
  for (const lease of running) lease.abort(reason);
  return running.length;
}
