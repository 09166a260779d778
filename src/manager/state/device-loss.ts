import { type Ending, isVramError, VramError } from '../../base/index.js';
import type { Device } from '../../device/index.js';
import { runOperation } from '../../events/index.js';
import type { Core } from './core.js';

/** ST-003: when the device is lost, every seal on it is void at once. */
export function watchDevice(core: Core): void {
  core.device.lost
    .then(async ({ message }) => {
      // False for a device that ends because its manager was closed.
      if (!core.lifecycle.lose(message)) return;
      for (const shard of core.shards.list()) revokeLeases(shard.leases, core.lifecycle.end);
      await runOperation(core.events, 'stop', undefined, async (operation) => {
        await operation.emit('device.lost', { reason: message, shards: core.shards.size });
      });
    })
    .catch((error: unknown) => {
      // Not awaited: an observer's failure has no operation to fail. The loss is already in force.
      if (!isVramError(error)) throw error;
    });
}

/**
 * Ends when the device is lost, also while the manager is being closed, and never when it is closed in order. Errors of
 * the ending: DEVICE_LOST.
 */
export function deviceLoss({ lost }: Pick<Device, 'lost'>): Ending {
  const watchers = new Set<(reason: VramError) => void>();
  let reason: VramError | null = null;
  void lost.then((end) => {
    if (end.reason !== 'lost') return;
    reason = new VramError('DEVICE_LOST', `the device is lost: ${end.message}`);
    for (const watcher of watchers) watcher(reason);
    watchers.clear();
  });
  return {
    onEnd(watcher) {
      if (reason !== null) watcher(reason);
      else watchers.add(watcher);
      return () => void watchers.delete(watcher);
    },
  };
}

/** Ends running leases with the reason why their shard can no longer be trusted. Returns how many. */
export function revokeLeases(leases: ReadonlySet<AbortController>, reason: unknown): number {
  const running = [...leases];
  for (const lease of running) lease.abort(reason);
  return running.length;
}
