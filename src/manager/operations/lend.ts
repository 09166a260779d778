import { invalidInput, toHex, VramError } from '../../base/index.js';
import type { SharedMemory } from '../../device/index.js';
import {
  type EventPayloads,
  type Operation,
  type RevokeReason,
  runOperation,
  type TraceOptions,
} from '../../events/index.js';
import { manifestBytes, type TensorManifest } from '../../models/index.js';
import type { SealedShard } from '../../seal/index.js';
import { type Core, type Holder, type LiveShard, terminationReason, withSignals } from '../state/index.js';
import { resolveHandle } from './resolve.js';
import { checkMaxAge, isFresh, requireUsable } from './usable.js';
import { verifyLive } from './verify.js';

const LEASE_ID_BYTES = 16;

/** A request for shards, and the holder that represents its process while it maps them. */
export interface LendRequest extends TraceOptions {
  /** Handles; all of them become one lease. */
  readonly shards: readonly unknown[];
  readonly holder: Holder;
  readonly pid: number | null;
  readonly uid: number;
  readonly client: string;
  /** As in execute(): without it every shard is verified first. */
  readonly maxAgeMs?: number | undefined;
  readonly signal: AbortSignal;
}

/** One shard of a loan. */
export interface LentShard {
  readonly sealed: SealedShard;
  readonly memory: SharedMemory;
  /** Canonical JSON, in UTF-8: the same array for every loan of the shard. */
  readonly manifest: Uint8Array;
  /** When its latest good verification began. RFC 3339. */
  readonly verifiedAt: string | null;
  /** Milliseconds since then; null where a later inspection invalidated it. */
  ageMs(): number | null;
}

/** Shards that another process may map. Neither method rejects: both report what has already happened. */
export interface Loan {
  readonly leaseId: string;
  readonly shards: readonly LentShard[];
  /** Records that the holder must release the memory. */
  revoked(reason: RevokeReason): Promise<void>;
  /**
   * Records the end of the lease. The holder counts as mapping the memory until `gone`, or no longer without it. A second
   * call does nothing.
   */
  end(how: EventPayloads['lease.ended']['how'], gone?: Promise<void>): Promise<void>;
}

/**
 * Verifies shards and registers who will map them, so that nothing is patched or wiped while that process reads it.
 * Recorded before this resolves. Errors: INVALID_INPUT for a shard that was not sealed with `share`, those of execute(),
 * AUDIT_FAILED.
 */
export async function lendShards(core: Core, request: LendRequest): Promise<Loan> {
  const { signal, holder } = request;
  return await runOperation(core.events, 'lend', request, async (operation) => {
    core.lifecycle.requireServing();
    checkMaxAge(request.maxAgeMs);
    const lent: LiveShard[] = [];
    try {
      await withSignals([signal, core.lifecycle], async (until) => {
        for (const handle of request.shards)
          lent.push(await lendOne(core, operation, handle, request, until));
      });
      return await RecordedLoan.begin(core, operation, lent, request);
    } catch (error) {
      for (const live of lent) live.holders.delete(holder);
      throw terminationReason(core, signal, error);
    }
  });
}

/** Verified and registered while the shard's lock is held, so that no healing or release comes between. */
async function lendOne(
  core: Core,
  operation: Operation,
  handle: unknown,
  { holder, maxAgeMs }: LendRequest,
  signal: AbortSignal,
): Promise<LiveShard> {
  const live = await resolveHandle(core, operation, handle);
  if (live.region.shared === null) {
    throw invalidInput('shard', 'was not sealed with share: other processes cannot map its memory');
  }
  return await live.lock.with('verify', signal, async () => {
    requireUsable(core, live);
    if (!isFresh(core, live, maxAgeMs)) await verifyLive(core, operation, live, { mode: 'resident', signal });
    // Another verification may have found damage outside what this one covered.
    requireUsable(core, live);
    live.holders.add(holder);
    return live;
  });
}

class RecordedLoan implements Loan {
  readonly leaseId: string;
  readonly shards: readonly LentShard[];
  readonly #core: Core;
  readonly #operation: Operation;
  readonly #lent: readonly LiveShard[];
  readonly #request: LendRequest;
  readonly #began: number;
  #callOff: () => void = () => undefined;
  /** Shards recorded as lent. */
  #reported = 0;
  #ended = false;

  private constructor(core: Core, operation: Operation, lent: readonly LiveShard[], request: LendRequest) {
    this.leaseId = toHex(core.crypto.randomBytes(LEASE_ID_BYTES));
    this.shards = lent.map((live) => lentShard(core, live));
    this.#core = core;
    this.#operation = operation;
    this.#lent = lent;
    this.#request = request;
    this.#began = core.clock.monotonic();
  }

  /** Errors: AUDIT_FAILED, ABORTED. */
  static async begin(
    core: Core,
    operation: Operation,
    lent: readonly LiveShard[],
    request: LendRequest,
  ): Promise<Loan> {
    const loan = new RecordedLoan(core, operation, lent, request);
    try {
      await loan.#record();
      return loan;
    } catch (error) {
      await loan.end('cut');
      throw error;
    }
  }

  async #record(): Promise<void> {
    for (const [index, live] of this.#lent.entries()) {
      this.#operation.about(live.sealed);
      const mappedBytes = this.shards[index]?.memory.mappedBytes ?? 0;
      this.#reported += 1;
      await this.#operation.record('shard.lent', { ...this.#who(), sealId: live.sealed.sealId, mappedBytes });
    }
    if (this.#lent.length > 1) {
      this.#operation.about({ shardId: null, modelRef: this.#lent[0]?.sealed.modelRef ?? null });
    }
    const { holder } = this.#request;
    this.#callOff = this.#core.lifecycle.onEnd((end) =>
      holder.revoke(end.code === 'DEVICE_LOST' ? 'device-lost' : 'stopped'),
    );
  }

  async revoked(reason: RevokeReason): Promise<void> {
    await this.#emit('lease.revoked', { ...this.#who(), shards: this.#reported, reason });
  }

  async end(how: EventPayloads['lease.ended']['how'], gone?: Promise<void>): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    this.#callOff();
    if (gone === undefined) this.#unregister();
    else void gone.then(() => this.#unregister());
    await this.#emit('lease.ended', { ...this.#who(), shards: this.#reported, how });
  }

  #unregister(): void {
    for (const live of this.#lent) live.holders.delete(this.#request.holder);
  }

  #who(): Pick<EventPayloads['shard.lent'], 'leaseId' | 'pid' | 'uid' | 'client'> {
    const { pid, uid, client } = this.#request;
    return { leaseId: this.leaseId, pid, uid, client };
  }

  async #emit<T extends 'lease.revoked' | 'lease.ended'>(type: T, payload: EventPayloads[T]): Promise<void> {
    await this.#operation.emit(type, payload, this.#core.clock.monotonic() - this.#began);
  }
}

/** Manifests of shards, built once each: that of a large model has tens of megabytes. */
const manifests = new WeakMap<SealedShard, Uint8Array>();

function lentShard(core: Core, { sealed, region, freshness }: LiveShard): LentShard {
  const { shared: memory } = region;
  if (memory === null) throw new VramError('INVALID_INPUT', 'the shard was not sealed with share');
  const manifest = manifests.get(sealed) ?? manifestBytes(sealed.manifest ?? wholeAsTensor(sealed));
  manifests.set(sealed, manifest);
  return {
    sealed,
    memory,
    manifest,
    verifiedAt: freshness.lastVerifiedAt,
    ageMs: () => freshness.ageMs(core.clock),
  };
}

/** A plain sequence of bytes as one tensor. */
function wholeAsTensor({ shardId, byteLength }: SealedShard): TensorManifest {
  const tensor = {
    name: 'bytes',
    dtype: 'U8',
    shape: [byteLength],
    offset: 0,
    byteLength,
    file: 0,
    fileOffset: 0,
  };
  return { v: 1, files: [{ name: shardId, byteLength }], tensors: [tensor] };
}
