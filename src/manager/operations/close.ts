import { runOperation } from '../../events/index.js';
import { type Core, revokeLeases } from '../state/index.js';
import { releaseLive } from './release.js';

/** Ends everything. Never rejects: what goes wrong on the way is told to the observers. See VramManager.close. */
export async function closeCore(core: Core, running: ReadonlySet<Promise<unknown>>): Promise<void> {
  core.lifecycle.close();
  for (const shard of core.shards.list()) revokeLeases(shard.leases, core.lifecycle.end);
  // Seals under way end at their next step and give back what they took.
  await Promise.allSettled([...running]);
  await Promise.allSettled([releaseAll(core)]);
  // Each is closed whatever became of the one before: an observer that stays open may keep its log from everyone else.
  if (core.deviceOwned) await settle(() => core.device.close());
  if (core.engineOwned) await settle(() => core.engine.close());
  await settle(() => core.events.observers.flush());
  await settle(() => core.events.observers.close());
}

async function releaseAll(core: Core): Promise<void> {
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
}

/** MS-005: what cannot be closed properly is closed as far as it goes. Waits for one that throws before it gives a promise, too. */
async function settle(step: () => Promise<unknown>): Promise<void> {
  await Promise.allSettled([Promise.resolve().then(step)]);
}
