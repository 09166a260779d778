import type { AttestationEnvelope } from '../attest/index.js';
import {
  type Clock,
  checkOptions,
  invalidInput,
  onEnd,
  type SetReport,
  type VerificationReport,
} from '../base/index.js';
import type { DeviceInfo } from '../device/index.js';
import type { TraceOptions } from '../events/index.js';
import type { SealedShard, SealedShardJson } from '../seal/index.js';
import type { Source } from '../source/index.js';
import { type DrillOptions, type DrillReport, drillShard } from './drills/index.js';
import type { VerifyOptions } from './integrity/index.js';
import {
  type AttestOptions,
  attestShard,
  type Capacity,
  CLOSE_KEYS,
  type CloseOptions,
  closeCore,
  type ExecuteOptions,
  type Execution,
  executeShard,
  type GuardClaimed,
  type HealReport,
  healShard,
  type LendRequest,
  type Loan,
  lendShards,
  type ManagerOptions,
  type ManagerStatus,
  openCore,
  type Platform,
  queryCapacity,
  type ReleaseReport,
  recordClaim,
  releaseShard,
  Scrubber,
  type ScrubOptions,
  type SealOptions,
  sealShard,
  statusOf,
  verifySet,
  verifyShard,
} from './operations/index.js';
import type { Core, OperationOptions } from './state/index.js';

/** A sealed shard's handle: as seal() returned it, as plain object, or as JSON text. */
export type ShardHandle = SealedShard | SealedShardJson | string;

/**
 * The interface for share servers. Not for callers: a loan that violates the protocol would let memory be wiped while
 * others use it.
 */
export interface Lender {
  readonly clock: Clock;
  readonly workerId: string;
  readonly device: DeviceInfo;
  /** 16 random bytes, hex. */
  randomId(): string;
  /** Verifies shards, registers who will map them, and records it. Errors: those of execute(), INVALID_INPUT. */
  lend(request: LendRequest): Promise<Loan>;
}

let claims: (manager: VramManager, claim: GuardClaimed) => Promise<void>;

/** Records a report of a guard in another process. Errors: AUDIT_FAILED, STOPPED. */
export async function recordGuardClaim(manager: VramManager, claim: GuardClaimed): Promise<void> {
  await claims(manager, claim);
}

let lender: (manager: VramManager) => Lender;

/** For the rooms that serve a manager's shards to other processes. */
export function lenderOf(manager: VramManager): Lender {
  return lender(manager);
}

/** Keeps weights sealed in the memory of one device. Operations on different shards run concurrently. */
export class VramManager {
  readonly #core: Core;
  readonly #running = new Set<Promise<unknown>>();
  /** Fires with the signal of any call of close(). */
  readonly #closeSignal = new AbortController();
  #closing: Promise<void> | undefined;

  static {
    claims = (manager, claim) => manager.#track(recordClaim(manager.#core, claim));
    lender = (manager) => {
      const core = manager.#core;
      return {
        clock: core.clock,
        workerId: core.workerId,
        device: core.device.info,
        randomId: core.events.randomId,
        lend: (request) => manager.#track(lendShards(core, request)),
      };
    };
  }

  private constructor(core: Core) {
    this.#core = core;
  }

  /**
   * Opens a device and proves known answers on it, checks it against the policy, and derives the worker's keys.
   * Errors: INVALID_INPUT, POLICY_VIOLATION, DEVICE_UNAVAILABLE, INSUFFICIENT_VRAM, AUDIT_FAILED.
   */
  static async open(options: ManagerOptions, platform: Platform): Promise<VramManager> {
    return new VramManager(await openCore(options, platform));
  }

  /**
   * Copies a source into device memory, hashing it on the way, freezes it, compares the device's own tree with the
   * host's, and signs. With hashing 'device' the host only reads and copies, and the device's tree must give the expected
   * digest. A seal that fails at any step leaves nothing behind. The source stays open; its opener closes it.
   * Errors: INVALID_INPUT, SOURCE_MISMATCH, INSUFFICIENT_VRAM, ALLOCATION_FAILED, POLICY_VIOLATION, INTEGRITY_VIOLATION,
   * DEVICE_UNAVAILABLE, DEVICE_LOST, AUDIT_FAILED, STOPPED, ABORTED.
   */
  seal(source: Source, options: SealOptions = {}): Promise<SealedShard> {
    return this.#track(sealShard(this.#core, source, options));
  }

  /**
   * Checks the handle, then hashes the resident bytes and compares with the seal. Throws on every failure and returns a
   * report otherwise; of a sample, one that says `verified: false, sampled: true`.
   * Errors: NOT_SEALED, SEAL_VERIFICATION_FAILED, NOT_FOUND (the handle; nothing changes), INTEGRITY_VIOLATION with
   * `report` (damaged bytes; the shard is in quarantine), DEVICE_UNAVAILABLE, DEVICE_LOST, AUDIT_FAILED, ABORTED.
   */
  verify(shard: ShardHandle, options: VerifyOptions = {}): Promise<VerificationReport> {
    return this.#track(verifyShard(this.#core, shard, options));
  }

  /**
   * Verifies every live shard of a model. Throws unless all of its tensor-parallel set is there and as sealed; the error's
   * `report` names what is missing. With samples of all of them the report says `verified: false, sampled: true`.
   * Errors: those of verify(), NOT_FOUND for a set that is not whole.
   */
  verifySet(modelRef: string, options: VerifyOptions = {}): Promise<SetReport> {
    return this.#track(verifySet(this.#core, modelRef, options));
  }

  /**
   * The only way to use a shard's bytes: verifies them, lends them to `run` while it runs, and returns its result. The
   * result is rejected if the shard is found damaged meanwhile. Do not await release, heal or close inside `run`: they
   * wait for the lease. The same shard can be executed inside `run`, unless a heal or drill is queued meanwhile: it waits
   * for the first lease and goes before the second. Executions waiting for their turn are refused once the shard is
   * released or in quarantine.
   * Errors: those of verify(), STOPPED, INTEGRITY_VIOLATION for a shard in quarantine, AUDIT_FAILED, and what `run` throws.
   */
  execute<T>(shard: ShardHandle, run: Execution<T>, options: ExecuteOptions = {}): Promise<T> {
    return this.#track(executeShard(this.#core, shard, run, options));
  }

  /**
   * Repairs damaged blocks from a source that has the sealed bytes, verifies the whole region and lifts the quarantine.
   * Everything read is checked against the sealed tree before anything is written; undamaged blocks are not written.
   * Waits until the shard has no users.
   * Errors: those of the handle, INVALID_INPUT (a source that cannot be read at a position), SOURCE_MISMATCH (nothing was
   * healed, or the source changed meanwhile: the message says how much), INTEGRITY_VIOLATION (the memory keeps failing),
   * DEVICE_UNAVAILABLE, DEVICE_LOST, AUDIT_FAILED, ABORTED. The quarantine then stays.
   */
  heal(shard: ShardHandle, source: Source, options: OperationOptions = {}): Promise<HealReport> {
    return this.#track(healShard(this.#core, shard, source, options));
  }

  /**
   * Verifies live shards in the background, least recently checked first, until it is stopped or the manager ends.
   * Errors: INVALID_INPUT, STOPPED.
   */
  scrub(options: ScrubOptions): Scrubber {
    const scrubber = new Scrubber(this.#core, options);
    void this.#track(scrubber.ended);
    return scrubber;
  }

  /**
   * Verifies a shard in place and signs the result together with the verifier's nonce: an in-toto Statement v1 in a DSSE
   * envelope, whose JSON form `verifyAttestation` checks. It is signed by the software of the host that it describes: it
   * does not prove that this host is honest.
   * Errors: INVALID_INPUT (the nonce; no `attestationKey` at open), those of verify(), STOPPED, INTEGRITY_VIOLATION for a
   * shard in quarantine, AUDIT_FAILED.
   */
  attest(shard: ShardHandle, options: AttestOptions): Promise<AttestationEnvelope> {
    return this.#track(attestShard(this.#core, shard, options));
  }

  /**
   * Deliberately flips bits of a shard's resident bytes and reports which; all flips are recorded before the first one.
   * Holds the shard exclusively meanwhile. The manager's state does not change: it has to find the damage like that of a
   * real fault. Needs a manager opened with `drills: true`.
   * Errors: INVALID_INPUT, those of the handle, STOPPED, AUDIT_FAILED (nothing was flipped), DEVICE_UNAVAILABLE,
   * DEVICE_LOST, ABORTED.
   */
  drill(shard: ShardHandle, options: DrillOptions = {}): Promise<DrillReport> {
    return this.#track(drillShard(this.#core, shard, options));
  }

  /**
   * Overwrites a shard's memory with zeros and frees it; signals leases to end and waits for them. A second release does
   * nothing.
   * Errors: NOT_SEALED, SEAL_VERIFICATION_FAILED, NOT_FOUND, RELEASE_FAILED (freed, but perhaps not overwritten). Never
   * held up by observers.
   */
  release(shard: ShardHandle, options: TraceOptions = {}): Promise<ReleaseReport> {
    return this.#track(releaseShard(this.#core, shard, options));
  }

  /** Total and remaining device memory, as far as known. Errors: DEVICE_LOST, STOPPED after close. */
  capacity(options: TraceOptions = {}): Promise<Capacity> {
    return queryCapacity(this.#core, options);
  }

  /** The device that holds the shards. */
  get device(): DeviceInfo {
    return this.#core.device.info;
  }

  /** The policy in force and the manager's state. */
  status(): ManagerStatus {
    return statusOf(this.#core);
  }

  /**
   * Ends running work, releases all shards, closes what the manager opened. Safe to call twice. `signal` ends only the
   * wait for observers. Errors: INVALID_INPUT, of the options, and none once it has begun.
   */
  async close(options: CloseOptions = {}): Promise<void> {
    checkOptions('options', options, CLOSE_KEYS);
    const { signal } = options;
    if (signal !== undefined && !(signal instanceof AbortSignal))
      throw invalidInput('signal', 'must be an AbortSignal');
    const callOff = onEnd(signal, (reason) => this.#closeSignal.abort(reason));
    this.#closing ??= closeCore(this.#core, this.#running, this.#closeSignal.signal);
    await this.#closing;
    callOff();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #track<T>(work: Promise<T>): Promise<T> {
    this.#running.add(work);
    try {
      return await work;
    } finally {
      this.#running.delete(work);
    }
  }
}
