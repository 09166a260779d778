import { VramError } from '../../base/index.js';
import { FSVERITY_PREFIX } from '../../digest/index.js';
import { eventError, type Operation, withAuditFailure } from '../../events/index.js';
import { fetchRetained, leadTo, residentDigest } from '../integrity/index.js';
import type { Core } from '../state/index.js';
import { fillRegion } from './fill.js';
import { NATIVE_BYTES, type SealWork } from './load.js';
import type { Proved } from './proved.js';
import { timedFill } from './timed-fill.js';

/**
 * Copies the source into device memory without hashing it on the host. The seal rests on the device's own tree over the
 * frozen bytes: its digest must be the expected one, and the hashes that are retained must lead to it.
 *
 * Errors: SOURCE_MISMATCH; DEVICE_UNAVAILABLE for a device that contradicts itself.
 */
export async function proveByDevice(core: Core, operation: Operation, work: SealWork): Promise<Proved> {
  const { reader, options, signal, request, allocation } = work;
  const { region } = allocation;
  const { byteLength } = request;
  const expected = FSVERITY_PREFIX + (request.required.fsverity ?? '');
  await upload(core, operation, work);
  // IV-006: the source must be unchanged since it was read.
  await reader.unchanged();
  const immutability = await operation.stage('freeze', null, () => region.freeze());

  const began = core.clock.monotonic();
  const watch = { signal, onProgress: options.onProgress };
  const fail = (failure: VramError, actual: string): Promise<VramError> =>
    reported(operation, failure, { expected, actual, durationMs: core.clock.monotonic() - began });
  const retained = await operation.stage('device-tree', byteLength, async () => {
    const actual = await residentDigest(core, region, watch);
    if (actual !== expected) {
      // In scratch without remains of the first run.
      const again = await residentDigest(core, region, watch);
      throw await fail(again === actual ? otherBytes(actual, expected) : unlikeAnswers(), actual);
    }
    const hashes = await fetchRetained(core, region, signal);
    if (!(await leadTo(core, hashes, { byteLength, fsverity: expected }))) {
      throw await fail(strayHashes(), actual);
    }
    return hashes;
  });
  const engine = core.device.info.backend;
  await operation.record(
    'digest.computed',
    { where: 'device', byteLength, sha256: null, fsverity: expected, engine },
    core.clock.monotonic() - began,
  );
  const files = request.packed?.manifest.files ?? [];
  return {
    byteLength,
    sha256: null,
    fsverity: expected,
    retained,
    files: files.map((file) => ({ sha256: null, fsverity: null, byteLength: file.byteLength })),
    immutability,
  };
}

/** By the engine's threads where they reach both the file and the memory, else chunk by chunk. */
async function upload(core: Core, operation: Operation, work: SealWork): Promise<void> {
  const { reader, options, signal, request, allocation } = work;
  const { region } = allocation;
  const { engine, clock } = core;
  const fill = timedFill(region, clock);
  const natively = request.packed === null && request.byteLength >= NATIVE_BYTES;
  const copyFile = natively ? engine.copyFile?.bind(engine) : undefined;
  const { readNatively } = reader;
  if (copyFile === undefined || readNatively === null || fill === null)
    return await fillRegion(operation, reader, region, null, options);
  const totalBytes = region.byteLength;
  const began = clock.monotonic();
  await copyFile(totalBytes, readNatively, fill.fill, {
    signal,
    onBytes: (bytes) => options.onProgress?.({ phase: 'load', bytes, totalBytes }),
  });
  await operation.stageDone('read', totalBytes, began, clock.monotonic() - began);
  await operation.stageDone('upload', totalBytes, began, fill.uploadMs());
}

function otherBytes(actual: string, expected: string): VramError {
  return new VramError(
    'SOURCE_MISMATCH',
    `the bytes in device memory have ${actual}, expected ${expected}; nothing was sealed. ` +
      "The cause may be the file, the bus or the device: seal with hashing 'host' to find out",
  );
}

function unlikeAnswers(): VramError {
  return new VramError(
    'DEVICE_UNAVAILABLE',
    'the device gave two different digests of the same bytes; nothing was sealed',
  );
}

function strayHashes(): VramError {
  return new VramError(
    'DEVICE_UNAVAILABLE',
    "the device's retained hashes do not lead to its own root; nothing was sealed",
  );
}

/** The failure to throw, with a failure to record it as its cause. */
async function reported(
  operation: Operation,
  failure: VramError,
  found: { readonly expected: string; readonly actual: string; readonly durationMs: number },
): Promise<VramError> {
  const auditFailure = await operation.emit(
    'seal.verification_failed',
    {
      sealId: null,
      mode: 'resident',
      error: eventError(failure),
      expectedDigest: found.expected,
      actualDigest: found.actual,
      transient: failure.code === 'DEVICE_UNAVAILABLE',
      damaged: [],
      damagedGroups: 0,
    },
    found.durationMs,
  );
  return withAuditFailure(failure, auditFailure);
}
