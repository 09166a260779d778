import { checkOptions, throwIfAborted, timestamp, toHex, VramError } from '../../base/index.js';
import type { Immutability, Region } from '../../device/index.js';
import type { DigestRequest, HostDigest } from '../../digest/index.js';
import { eventError, type Operation, runOperation, withAuditFailure } from '../../events/index.js';
import { type SealedShard, type SealPayload, signSeal } from '../../seal/index.js';
import { type Source, sourceFailure } from '../../source/index.js';
import { measure, residentDigest } from '../integrity/index.js';
import {
  type Core,
  endedBy,
  Freshness,
  type LiveShard,
  type OperationOptions,
  ShardLock,
  withSignals,
} from '../state/index.js';
import { allocate, giveBack, type TimedAllocation } from './allocate.js';
import { fillRegion } from './fill.js';
import {
  checkSealRequest,
  requireDigests,
  SEAL_KEYS,
  type SealOptions,
  type SealRequest,
} from './seal-request.js';

const SEAL_ID_BYTES = 16;

/** Copies a source into device memory, proves that it arrived, and signs that. See VramManager.seal. */
export async function sealShard(core: Core, source: Source, options: SealOptions): Promise<SealedShard> {
  return await runOperation(core.events, 'seal', options, async (operation) => {
    checkOptions('options', options, SEAL_KEYS);
    core.lifecycle.requireServing();
    const request = checkSealRequest(core, source, options);
    operation.about(request);
    throwIfAborted(options.signal);
    core.shards.claim(request);
    try {
      const allocation = await allocate(core, operation, request.byteLength);
      try {
        return await withSignals([options.signal, core.lifecycle], async (signal) => {
          const work = { source, options: { ...options, signal }, signal, request, allocation };
          const live = await sealAllocated(core, operation, work);
          core.shards.add(live);
          return live.sealed;
        });
      } catch (error) {
        await giveBack(core, operation, allocation);
        throw error;
      }
    } catch (error) {
      core.shards.unclaim(request.shardId);
      throw endedBy(core, options.signal, error);
    }
  });
}

interface SealWork {
  readonly source: Source;
  readonly options: SealOptions;
  readonly signal: AbortSignal;
  readonly request: SealRequest;
  readonly allocation: TimedAllocation;
}

async function sealAllocated(core: Core, operation: Operation, work: SealWork): Promise<LiveShard> {
  const { source, options, signal, request, allocation } = work;
  const { region, reservation } = allocation;
  await operation.record(
    'vram.allocated',
    {
      requestedBytes: reservation.bytes,
      allocatedBytes: region.allocatedBytes,
      usedBytes: core.ledger.usedBytes,
      availableBytes: allocation.availableBytes,
    },
    allocation.durationMs,
  );
  const digest = await load(core, operation, work);
  requireDigests(request.required, digest);
  await checkUnchanged(source, signal);
  const immutability = await operation.stage('freeze', null, () => region.freeze());
  await proveArrival(core, operation, region, digest, options);
  const signing = core.clock.monotonic();
  const sealed = await operation.stage('sign', null, () =>
    signSeal(core.key, describe(core, request, digest, immutability)),
  );
  const signMs = core.clock.monotonic() - signing;
  await operation.record('signature.generated', { sealId: sealed.sealId }, signMs);
  const live: LiveShard = {
    sealed,
    region,
    reservation,
    kept: { groups: digest.groups ?? digest.root, leaves: digest.leaves },
    lock: new ShardLock(),
    leases: new Set(),
    pending: new Set(),
    condition: 'sound',
    // Sealing proves that the copy arrived; only a verification counts as one (CI-007).
    freshness: new Freshness(),
    scrubbedAt: null,
    reopen: options.reopen ?? null,
  };
  await operation.record(
    'vram.sealed',
    {
      sealId: sealed.sealId,
      byteLength: sealed.byteLength,
      sha256: sealed.sha256,
      fsverity: sealed.fsverity,
      residency: sealed.residency,
      immutability: sealed.immutability,
      sealedAt: sealed.sealedAt,
      shardIndex: sealed.shardIndex,
      totalShards: sealed.totalShards,
    },
    operation.elapsedMs,
  );
  // The manager may have stopped, or the caller given up, while the record was written.
  throwIfAborted(signal);
  core.lifecycle.requireServing();
  return live;
}

/** Reads, hashes and uploads in one pass. */
async function load(
  core: Core,
  operation: Operation,
  { source, options, request, allocation }: SealWork,
): Promise<HostDigest> {
  const { byteLength, sha256 } = request;
  const wanted: DigestRequest = { byteLength, sha256, keep: core.keep };
  const began = core.clock.monotonic();
  const stream = core.engine.start(wanted);
  let digest: HostDigest;
  try {
    await fillRegion(operation, source, allocation.region, stream, options);
    digest = await stream.finish();
  } finally {
    stream.abort();
  }
  const { fsverity } = digest;
  await operation.record(
    'digest.computed',
    { where: 'host', byteLength, sha256: digest.sha256, fsverity, engine: core.engine.name },
    core.clock.monotonic() - began,
  );
  return digest;
}

/** IV-006: what was hashed must still be what is there. */
async function checkUnchanged(source: Source, signal: AbortSignal): Promise<void> {
  try {
    await source.unchanged();
  } catch (error) {
    throw sourceFailure(error, signal);
  }
}

/** CI-004: the device's own tree, taken after freeze, must be the host's. */
async function proveArrival(
  core: Core,
  operation: Operation,
  region: Region,
  digest: HostDigest,
  { signal, onProgress }: OperationOptions,
): Promise<void> {
  const totalBytes = region.byteLength;
  const began = core.clock.monotonic();
  const { verdict, actual } = await operation.stage('device-tree', totalBytes, () =>
    // Nothing relies on a shard that is not sealed yet.
    measure(
      digest.fsverity,
      () => residentDigest(core, region, signal),
      () => undefined,
    ),
  );
  const durationMs = core.clock.monotonic() - began;
  onProgress?.({ phase: 'verify', bytes: totalBytes, totalBytes });
  if (verdict === 'equal') {
    const engine = core.device.info.backend;
    await operation.record(
      'digest.computed',
      { where: 'device', byteLength: totalBytes, sha256: null, fsverity: actual, engine },
      durationMs,
    );
    return;
  }
  const failure =
    verdict === 'transient'
      ? new VramError(
          'DEVICE_UNAVAILABLE',
          'the device gave two different digests of the same bytes; nothing was sealed',
        )
      : new VramError(
          'INTEGRITY_VIOLATION',
          'the bytes in device memory are not those of the source; nothing was sealed',
        );
  const unheard = await operation.tell(
    'seal.verification_failed',
    {
      sealId: null,
      mode: 'resident',
      error: eventError(failure),
      expectedDigest: digest.fsverity,
      actualDigest: actual,
      transient: verdict === 'transient',
      damaged: [],
      damagedGroups: 0,
    },
    durationMs,
  );
  throw withAuditFailure(failure, unheard);
}

function describe(
  core: Core,
  request: SealRequest,
  digest: HostDigest,
  immutability: Immutability,
): SealPayload {
  const { info } = core.device;
  return {
    v: 1,
    sealId: toHex(core.crypto.randomBytes(SEAL_ID_BYTES)),
    sealed: true,
    shardId: request.shardId,
    workerId: core.workerId,
    device: { backend: info.backend, index: info.index, name: info.name, uuid: info.uuid },
    byteLength: digest.byteLength,
    sha256: digest.sha256,
    fsverity: digest.fsverity,
    sealedAt: timestamp(core.clock),
    residency: core.residency,
    immutability,
    emulated: info.execution === 'emulated',
    modelRef: request.modelRef,
    shardIndex: request.shardIndex,
    totalShards: request.totalShards,
  };
}
