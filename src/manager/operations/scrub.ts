import {
  checkInteger,
  checkOptions,
  invalidInput,
  isVramError,
  MAX_TIMER_MS,
  type OptionKeys,
  timestamp,
  VramError,
} from '../../base/index.js';
import { GROUP_BYTES } from '../../digest/index.js';
import { eventError, type Operation, runOperation } from '../../events/index.js';
import { groupLevel, groupsMatch, requireGroupsGenuine } from '../integrity/index.js';
import {
  type Core,
  type LiveShard,
  type ReopenSource,
  requireLive,
  sleep,
  withSignals,
} from '../state/index.js';
import { healLive } from './heal.js';
import { withReopened } from './reopened-source.js';
import { MAX_TOGETHER, together } from './together.js';
import { verifyLive } from './verify.js';

/** Options of VramManager.scrub(). */
export interface ScrubOptions {
  /** Pause after every live shard was checked once. Milliseconds, from 1 to 2^31 - 1. */
  readonly intervalMs: number;
  /** Bytes hashed in a second, on average. At least 524288, one group. */
  readonly bytesPerSecond: number;
  /** Heal damage from the source given to seal() as `reopen`. */
  readonly heal?: boolean | undefined;
}

// Does not compile unless it lists exactly the options of the interface.
export const SCRUB_KEYS = {
  intervalMs: true,
  bytesPerSecond: true,
  heal: true,
} satisfies OptionKeys<ScrubOptions>;

/** The state of one shard's checks. */
export interface ScrubEntry {
  readonly shardId: string;
  readonly sealId: string;
  readonly quarantined: boolean;
  /** When its latest good verification of the whole region, by whatever means, began. RFC 3339, or null. */
  readonly lastVerifiedAt: string | null;
  /** When a scrubber last went through all of it. RFC 3339, or null. */
  readonly lastScrubbedAt: string | null;
}

/** Groups hashed between two checks of the budget and of leases: the bytes due in STEP_MS, from 4 MiB to 1 GiB. */
const LEAST_GROUPS_PER_STEP = 8;
const MOST_GROUPS_PER_STEP = 2048;
/**
 * Timers are no finer than a millisecond or two: shorter steps could not keep a GPU's pace (an H200 hashes 4 MiB in 0.1
 * ms).
 */
const STEP_MS = 20;
/** Milliseconds between two checks whether leases have ended. */
const YIELD_MS = 20;
/** How long a step waits for leases to end before it runs concurrently with them: a large shard takes many steps. */
const MAX_YIELD_MS = 1000;

/** A background verification of live shards: large ones group by group, small neighbours together. */
export class Scrubber {
  /** Resolves when it has ended. Never rejects. */
  readonly ended: Promise<void>;
  readonly #core: Core;
  readonly #options: Required<ScrubOptions>;
  readonly #stop = new AbortController();
  readonly #signal = this.#stop.signal;
  /** For healing: the damage to be healed may have stopped the manager, and with it the walk. */
  readonly #end = new AbortController();

  constructor(core: Core, options: ScrubOptions) {
    core.lifecycle.requireServing();
    checkOptions('options', options, SCRUB_KEYS);
    const { heal = false } = options;
    if (typeof heal !== 'boolean') throw invalidInput('heal', 'must be true or false');
    this.#core = core;
    this.#options = {
      intervalMs: checkInteger('intervalMs', options.intervalMs, 1, MAX_TIMER_MS),
      bytesPerSecond: checkInteger('bytesPerSecond', options.bytesPerSecond, GROUP_BYTES),
      heal,
    };
    const callOffs = [
      core.lifecycle.onEnd(() => this.#stop.abort()),
      core.lifecycle.onDeviceEnd(() => this.#end.abort()),
    ];
    this.ended = this.#run().finally(() => {
      for (const callOff of callOffs) callOff();
    });
  }

  /** Ends it after the current step. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#end.abort();
    await this.ended;
  }

  /** Live shards in the order of sealing. */
  report(): readonly ScrubEntry[] {
    return this.#core.shards.list().map((live) => ({
      shardId: live.sealed.shardId,
      sealId: live.sealed.sealId,
      quarantined: live.condition === 'quarantined',
      lastVerifiedAt: live.freshness.lastVerifiedAt,
      lastScrubbedAt: live.scrubbedAt,
    }));
  }

  async #run(): Promise<void> {
    while (!this.#signal.aborted) {
      // As many bytes as a step of a large shard, so that a lease waits no longer for the device.
      const limit = Math.min(groupsPerStep(this.#options.bytesPerSecond), MAX_TOGETHER);
      for (const some of together(this.#oldestFirst(), limit)) {
        if (this.#signal.aborted) return;
        await Promise.all(some.map((live) => this.#check(live, some.length)));
      }
      await sleep(this.#options.intervalMs, this.#signal);
    }
  }

  #oldestFirst(): LiveShard[] {
    const lastCheck = (live: LiveShard): string => {
      const times = [live.freshness.lastVerifiedAt ?? '', live.scrubbedAt ?? ''].sort();
      return times.at(-1) ?? '';
    };
    const sound = this.#core.shards.list().filter((live) => live.condition === 'sound');
    // RFC 3339 in UTC sorts as text; shards never checked come first.
    return sound.sort((a, b) => (lastCheck(a) < lastCheck(b) ? -1 : lastCheck(a) > lastCheck(b) ? 1 : 0));
  }

  /** Checks one of the `shards` that share a run. Failures are reported as events; no caller catches them. */
  async #check(live: LiveShard, shards: number): Promise<void> {
    try {
      await runOperation(this.#core.events, 'scrub', undefined, async (operation) => {
        operation.about(live.sealed);
        const started = this.#core.clock.monotonic();
        const ok = await live.freshness.during(() => this.#walk(operation, live, shards));
        if (ok === null) return;
        live.scrubbedAt = timestamp(this.#core.clock);
        await operation.emit(
          'scrub.finished',
          { sealId: live.sealed.sealId, byteLength: live.sealed.byteLength, ok },
          this.#core.clock.monotonic() - started,
        );
      });
    } catch {
      // The operation's last event reports the failure; background work has no caller. Continue with the next shard.
    }
  }

  /** Whether all groups were found as sealed; null if the shard was released or the scrubber ends. */
  async #walk(operation: Operation, live: LiveShard, shards: number): Promise<boolean | null> {
    const { groups: total } = groupLevel(live.sealed.byteLength);
    await requireGroupsGenuine(this.#core, live);
    const { bytesPerSecond } = this.#options;
    const { clock } = this.#core;
    const step = groupsPerStep(bytesPerSecond);
    for (let first = 0; first < total; first += step) {
      await this.#yieldToLeases(live);
      const started = clock.monotonic();
      const groups = Array.from({ length: Math.min(step, total - first) }, (_, index) => first + index);
      const same = await live.lock.with('verify', undefined, async () => {
        if (this.#signal.aborted || live.condition !== 'sound') return null;
        const matches = await groupsMatch(live, groups, undefined);
        if (!matches) live.freshness.doubt();
        return matches;
      });
      if (same === null) return null;
      if (!same) return await this.#damaged(operation, live);
      // Those that are checked together pause together, for all of them.
      const due = (shards * groups.length * GROUP_BYTES * 1000) / bytesPerSecond;
      await sleep(Math.max(due - (clock.monotonic() - started), 0), this.#signal);
    }
    return true;
  }

  /** A whole verification decides, reports and quarantines as for any caller. */
  async #damaged(operation: Operation, live: LiveShard): Promise<boolean | null> {
    try {
      await live.lock.with('verify', undefined, () =>
        verifyLive(this.#core, operation, live, { mode: 'resident' }),
      );
      // The bytes verify now: a mismatch that did not repeat is neither clean nor damage.
      live.freshness.doubt();
      await this.#emitTransient(operation, live);
      return false;
    } catch (error) {
      if (!isVramError(error, 'INTEGRITY_VIOLATION')) throw error;
      if (!this.#options.heal || live.reopen === null) return false;
      await this.#heal(operation, live, live.reopen);
      return false;
    }
  }

  async #emitTransient(operation: Operation, live: LiveShard): Promise<void> {
    const message = 'a group differed once and verified when it was hashed again';
    await operation.emit('seal.verification_failed', {
      error: eventError(new VramError('DEVICE_UNAVAILABLE', message)),
      sealId: live.sealed.sealId,
      mode: 'sampled',
      expectedDigest: live.sealed.fsverity,
      actualDigest: null,
      transient: true,
      damaged: [],
      damagedGroups: 0,
    });
  }

  /** Any failure is reported and leaves the quarantine in place. */
  async #heal(operation: Operation, live: LiveShard, reopen: ReopenSource): Promise<void> {
    const core = this.#core;
    try {
      await withSignals([this.#end.signal, live.releasing.signal], (signal) =>
        withReopened(core, operation, reopen, signal, (source) =>
          live.lock.with('exclusive', signal, async () => {
            requireLive(live);
            await healLive(core, operation, live, source, { signal });
          }),
        ),
      );
    } catch (error) {
      await operation.emit('heal.failed', { sealId: live.sealed.sealId, error: eventError(error) });
    }
  }

  async #yieldToLeases(live: LiveShard): Promise<void> {
    const { clock } = this.#core;
    const until = clock.monotonic() + Math.min(this.#options.intervalMs, MAX_YIELD_MS);
    // Bounded, because a shard that is always in use must be checked too.
    while (live.leases.size > 0 && clock.monotonic() < until && !this.#signal.aborted) {
      await sleep(Math.min(YIELD_MS, this.#options.intervalMs), this.#signal);
    }
  }
}

function groupsPerStep(bytesPerSecond: number): number {
  const due = Math.round((bytesPerSecond * STEP_MS) / 1000 / GROUP_BYTES);
  return Math.min(Math.max(due, LEAST_GROUPS_PER_STEP), MOST_GROUPS_PER_STEP);
}
