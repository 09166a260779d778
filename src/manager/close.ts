import { VramError } from '../errors.js';
import type { Core } from './core.js';
import { revokeLeases } from './loss.js';
import { runOperation } from './operation.js';
import { releaseLive } from './release.js';

/** Ends everything. Never rejects: what goes wrong on the way is told to the observers. See VramManager.close. */
export async function closeCore(core: Core, running: ReadonlySet<Promise<unknown>>): Promise<void> {
  core.lifecycle.close();
  for (const shard of core.shards.list()) revokeLeases(shard.leases, core.lifecycle.end);
  // Seals under way end at their next step and give back what they took.
  await Promise.allSettled([...running]);
  await runOperation(core.events, 'close', undefined, async (operation) => {
    const shards = core.shards.list();
    for (const shard of shards) {
      // A release that was asked for after close() began is waited for, not done again.
      if (shard.condition === 'releasing')
        await shard.lock.with('exclusive', undefined, async () => undefined);
      else await releaseLive(core, operation, shard);
    }
    await operation.tell('manager.closed', { shardsReleased: shards.length }, operation.elapsedMs);
  });
  if (core.deviceOwned) await ignoreVramError(core.device.close());
  if (core.engineOwned) await ignoreVramError(core.engine.close());
  await core.events.observers.flush();
  await core.events.observers.close();
}

/** MS-005: a device that cannot be closed properly is closed as far as it goes. */
async function ignoreVramError(closing: Promise<void>): Promise<void> {
  try {
    await closing;
  } catch (error) {
    if (!(error instanceof VramError)) throw error;
  }
}
