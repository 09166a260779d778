import type { End, OptionKeys } from '../../base/index.js';
import { deviceId } from '../../device/index.js';
import { type Operation, observerEnds, runOperation } from '../../events/index.js';
import { type Core, emitCloseFailed, type OperationOptions, revokeLeases } from '../state/index.js';
import { releaseLive } from './release.js';

/** Options of VramManager.close(). */
export interface CloseOptions {
  /** Ends the wait for observers. Everything is closed and all memory freed regardless. */
  readonly signal?: AbortSignal | undefined;
}

// Does not compile unless it lists exactly the options of the interface.
export const CLOSE_KEYS = { signal: true } satisfies OptionKeys<CloseOptions>;

/** Ends everything. Never rejects: failures on the way are counted and reported to the observers. See VramManager.close. */
export async function closeCore(
  core: Core,
  running: ReadonlySet<Promise<unknown>>,
  signal: AbortSignal,
): Promise<void> {
  core.lifecycle.close();
  for (const shard of core.shards.list()) revokeLeases(shard.leases, core.lifecycle.end);
  // Seals in progress end at their next step and free their memory.
  await Promise.allSettled([...running]);
  await Promise.allSettled([closeDevice(core, signal)]);
  // Each is closed even if another failed: an open observer may keep its log locked.
  const { observers } = core.events;
  const ends = (): readonly End[] => observerEnds(core.events, signal);
  const failures = [...(await observers.flush(ends())), ...(await observers.close(ends()))];
  // All observers are closed, so there is none to report this to.
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
    // A release requested after close() began is awaited, not repeated.
    if (shard.condition === 'releasing') await shard.lock.with('exclusive', undefined, async () => undefined);
    else await releaseLive(core, operation, shard);
  }
}

/** MS-005: whatever cannot be closed properly is closed as far as possible. */
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
