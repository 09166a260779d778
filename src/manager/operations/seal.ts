import { checkOptions, throwIfAborted, VramError } from '../../base/index.js';
import type { Region } from '../../device/index.js';
import type { HostDigest } from '../../digest/index.js';
import { eventError, type Operation, runOperation, withAuditFailure } from '../../events/index.js';
import type { SealedShard } from '../../seal/index.js';
import type { Source } from '../../source/index.js';
import { measure, residentDigest } from '../integrity/index.js';
import {
  type Core,
  Freshness,
  Holders,
  type LiveShard,
  type OperationOptions,
  readerOf,
  ShardLock,
  terminationReason,
  withSignals,
} from '../state/index.js';
import { allocate, releaseAllocation } from './allocate.js';
import { load, type SealWork } from './load.js';
import { proveByDevice } from './prove-by-device.js';
import type { Proved } from './proved.js';
import { checkSealRequest, requireDigests, SEAL_KEYS, type SealOptions } from './seal-request.js';
import { packingOf, sign } from './sign.js';

/** Copies a source into device memory, proves that it arrived, and signs the result. See VramManager.seal. */
export async function sealShard(core: Core, source: Source, options: SealOptions): Promise<SealedShard> {
  return await runOperation(core.events, 'seal', options, async (operation) => {
    checkOptions('options', options, SEAL_KEYS);
    core.lifecycle.requireServing();
    const request = checkSealRequest(core, source, options);
    operation.about(request);
    throwIfAborted(options.signal);
    core.shards.claim(request);
    try {
      const allocation = await allocate(core, operation, {
        byteLength: request.byteLength,
        cuts: request.packed?.cuts ?? null,
        share: request.share,
      });
      try {
        return await withSignals([options.signal, core.lifecycle], async (signal) => {
          const reader = readerOf(core, source, [signal]);
          const work = { source, reader, options: { ...options, signal }, signal, request, allocation };
          const live = await sealAllocated(core, operation, work);
          core.shards.add(live);
          return live.sealed;
        });
      } catch (error) {
        await releaseAllocation(core, operation, allocation);
        throw error;
      }
    } catch (error) {
      core.shards.unclaim(request.shardId);
      throw terminationReason(core, options.signal, error);
    }
  });
}

async function sealAllocated(core: Core, operation: Operation, work: SealWork): Promise<LiveShard> {
  const { options, signal, request, allocation } = work;
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
  const prove = request.hashing === 'device' ? proveByDevice : proveByHost;
  const proved = await prove(core, operation, work);
  const signing = core.clock.monotonic();
  const sealed = await operation.stage('sign', null, () => sign(core, request, proved));
  const signMs = core.clock.monotonic() - signing;
  await operation.record('signature.generated', { sealId: sealed.sealId }, signMs);
  const live: LiveShard = {
    sealed,
    region,
    reservation,
    cuts: request.packed?.cuts ?? null,
    retained: proved.retained,
    lock: new ShardLock(),
    leases: new Set(),
    pending: new Set(),
    holders: new Holders(),
    releasing: new AbortController(),
    condition: 'sound',
    // Sealing proves that the copy arrived, but does not count as a verification (CI-007).
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
      packed: request.packed === null ? null : packingOf(request.packed, sealed),
    },
    operation.elapsedMs,
  );
  // The manager may have stopped, or the caller given up, while the record was written.
  throwIfAborted(signal);
  core.lifecycle.requireServing();
  return live;
}

/** The seal rests on the host's hash of what it read and on the device holding the same bytes (CI-004). */
async function proveByHost(core: Core, operation: Operation, work: SealWork): Promise<Proved> {
  const { reader, options, request, allocation } = work;
  const { region } = allocation;
  const { digest, files } = await load(core, operation, work);
  requireDigests(request.required, digest);
  // IV-006: the source must be unchanged since it was read.
  await reader.unchanged();
  const immutability = await operation.stage('freeze', null, () => region.freeze());
  await proveArrival(core, operation, region, digest, options);
  const { byteLength, sha256, fsverity, root, groups, leaves } = digest;
  return { byteLength, sha256, fsverity, retained: { groups: groups ?? root, leaves }, files, immutability };
}

/** CI-004: the device's own tree, taken after freeze, must be the host's. */
async function proveArrival(
  core: Core,
  operation: Operation,
  region: Region,
  digest: HostDigest,
  options: OperationOptions,
): Promise<void> {
  const totalBytes = region.byteLength;
  const began = core.clock.monotonic();
  const { verdict, actual } = await operation.stage('device-tree', totalBytes, () =>
    // Nothing depends on a shard that is not sealed yet.
    measure(
      digest.fsverity,
      () => residentDigest(core, region, options),
      () => undefined,
    ),
  );
  const durationMs = core.clock.monotonic() - began;
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
  const auditFailure = await operation.emit(
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
  throw withAuditFailure(failure, auditFailure);
}
