import type { End, OptionKeys } from '../../base/index.js';
import { deviceId } from '../../device/index.js';
import { type Operation, observerEnds, runOperation } from '../../events/index.js';
import { type Core, emitCloseFailed, type OperationOptions, revokeLeases } from '../state/index.js';
import { releaseLive } from './release.js';

export interface CloseOptions {
  /** Ends the waiting for observers. Everything is closed all the same, and memory given back. */
  readonly signal?: AbortSignal | undefined;
}

// An option that is added to the interface, or taken from it, does not compile until it is so here too.
export const CLOSE_KEYS = { signal: true } satisfies OptionKeys<CloseOptions>;

/**
 * Ends everything. Never rejects: what goes wrong on the way is told to the observers, and counted. See VramManager.close.
 */
export async function closeCore(
  core: Core,
  running: ReadonlySet<Promise<unknown>>,
  signal: AbortSignal,
): Promise<void> {
  core.lifecycle.close();
  for (const shard of core.shards.list()) revokeLeases(shard.leases, core.lifecycle.end);
  // Seals under way end at their next step and give back what they took.
  await Promise.allSettled([...running]);
  await Promise.allSettled([closeDevice(core, signal)]);
  // Each is closed whatever became of the one before: an observer that stays open may keep its log from everyone else.
  const { observers } = core.events;
  const ends = (): readonly End[] => observerEnds(core.events, signal);
  const failures = [...(await observers.flush(ends())), ...(await observers.close(ends()))];
  // Nobody is left to be told.
  core.tally.closeFailures += failures.length;
}

async function closeDevice(core: Core, signal: AbortSignal): Promise<void> {
  const options: OperationOptions = { signal };
  await runOperation(core.events, 'close', options, async (operation) => {
    const shards = core.shards.list();
    await Promise.allSettled([releaseAll(core, operation)]);
    const { device, engine } = core;
    if (core.deviceOwned) {
      await closePart(core, operation, 'device', deviceId(device.info), () => device.close());
    }
    if (core.engineOwned) await closePart(core, operation, 'engine', engine.name, () => engine.close());
    await operation.emit('manager.closed', { shardsReleased: shards.length }, operation.elapsedMs);
  });
}

async function releaseAll(core: Core, operation: Operation): Promise<void> {
  for (const shard of core.shards.list()) {
    // A release that was asked for after close() began is waited for, not done again.
    if (shard.condition === 'releasing') await shard.lock.with('exclusive', undefined, async () => undefined);
    else await releaseLive(core, operation, shard);
  }
}

/** MS-005: what cannot be closed properly is closed as far as it goes. */
async function closePart(
  core: Core,
  operation: Operation,
  what: 'device' | 'engine',
  name: string,
  close: () => Promise<void>,
): Promise<void> {
  try {
    await close();
  } catch (error) {
    await emitCloseFailed(core, operation, { what, name, error });
  }
}
