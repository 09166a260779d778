import type { DigestEngine, DigestRequest, HashFileOptions, HostDigest } from '../../digest/index.js';
import type { Operation } from '../../events/index.js';
import type { SealedFile } from '../../seal/index.js';
import type { Source, SourceReader } from '../../source/index.js';
import { type Core, readerOf, withSignals } from '../state/index.js';
import type { TimedAllocation } from './allocate.js';
import { FileDigests } from './file-digests.js';
import { fillRegion } from './fill.js';
import { isTensorSource } from './packed-request.js';
import type { SealOptions, SealRequest } from './seal-request.js';
import { type TimedFill, timedFill } from './timed-fill.js';

/** Smaller files are read by JavaScript: threads would take longer to start than to run. */
export const NATIVE_BYTES = 2 ** 20;
/** The same for two passes, which also wait for each other. */
const TWO_PASS_BYTES = 4 * 2 ** 20;

/** A seal whose memory is allocated. */
export interface SealWork {
  readonly source: Source;
  readonly reader: SourceReader;
  readonly options: SealOptions;
  readonly signal: AbortSignal;
  readonly request: SealRequest;
  readonly allocation: TimedAllocation;
}

/** What is to be hashed of a file, and by what. */
interface FileHashing {
  readonly request: DigestRequest;
  readonly hashFile: NonNullable<DigestEngine['hashFile']>;
}

/** What the host has found in the source. */
export interface Loaded {
  readonly digest: HostDigest;
  /** The published files behind a tensor source; empty for a plain one. */
  readonly files: readonly SealedFile[];
}

/** Reads the source, hashes it on the host, and uploads it. Errors: those of fillRegion, and of the engine. */
export async function load(core: Core, operation: Operation, work: SealWork): Promise<Loaded> {
  const { byteLength, sha256, packed } = work.request;
  const request: DigestRequest = { byteLength, sha256, keep: core.keep };
  const began = core.clock.monotonic();
  const fill = timedFill(work.allocation.region, core.clock);
  const leastBytes = fill === null ? TWO_PASS_BYTES : NATIVE_BYTES;
  const hashFile =
    packed === null && byteLength >= leastBytes && work.reader.readNatively !== null
      ? core.engine.hashFile?.bind(core.engine)
      : undefined;
  const loaded =
    hashFile === undefined
      ? await inOnePass(core, operation, work, request)
      : fill === null
        ? await inTwoPasses(core, operation, work, { request, hashFile })
        : await byThreads(operation, work, { request, hashFile }, fill);
  const { digest } = loaded;
  await operation.record(
    'digest.computed',
    {
      where: 'host',
      byteLength,
      sha256: digest.sha256,
      fsverity: digest.fsverity,
      engine: core.engine.name,
    },
    core.clock.monotonic() - began,
  );
  return loaded;
}

/** Threads read the file, hash it and put it where the device takes it from: JavaScript copies nothing. */
async function byThreads(
  operation: Operation,
  { reader, signal, options, allocation: { region } }: SealWork,
  hashing: FileHashing,
  { fill, uploadMs }: TimedFill,
): Promise<Loaded> {
  const totalBytes = region.byteLength;
  const began = operation.clock.monotonic();
  const digest = await hashedByThreads(reader, hashing, {
    signal,
    onBytes: (bytes) => options.onProgress?.({ phase: 'load', bytes, totalBytes }),
    copyTo: fill,
  });
  const tookMs = operation.clock.monotonic() - began;
  // Each thread reads and hashes in turn: both stages take as long as the pass.
  await operation.stageDone('read', totalBytes, began, tookMs);
  await operation.stageDone('hash', totalBytes, began, tookMs);
  await operation.stageDone('upload', totalBytes, began, uploadMs());
  return { digest, files: [] };
}

/** Each chunk is hashed and uploaded. */
async function inOnePass(
  core: Core,
  operation: Operation,
  { source, reader, signal, options, request: { sha256, packed }, allocation }: SealWork,
  request: DigestRequest,
): Promise<Loaded> {
  const stream = core.engine.start(request);
  const hashing = packed === null ? null : new FileDigests(core.engine, packed, sha256);
  try {
    const read =
      hashing !== null && isTensorSource(source) ? readerOf(core, hashing.over(source), [signal]) : reader;
    await fillRegion(operation, read, allocation.region, stream, options);
    return { digest: await stream.finish(), files: (await hashing?.finish()) ?? [] };
  } finally {
    stream.abort();
    hashing?.abort();
  }
}

/**
 * For memory out of the threads' reach: one pass uploads the file; in the other, at the same time, the engine's threads read
 * and hash it themselves, so that JavaScript copies each byte once and not twice. The passes need not see the same bytes:
 * whether the file changed is checked afterwards, and the device's tree must be the host's.
 */
async function inTwoPasses(
  core: Core,
  operation: Operation,
  { source, signal, options, allocation: { region } }: SealWork,
  hashing: FileHashing,
): Promise<Loaded> {
  const failed = new AbortController();
  const orStopBoth = async <T>(pass: Promise<T>): Promise<T> => {
    try {
      return await pass;
    } catch (error) {
      if (!failed.signal.aborted) failed.abort(error);
      throw error;
    }
  };
  const { onUploaded, onHashed } = slowerOf(region.byteLength, options);
  return await withSignals([signal, failed.signal], async (either) => {
    const reader = readerOf(core, source, [either]);
    const [filled, hashed] = await Promise.allSettled([
      orStopBoth(fillRegion(operation, reader, region, null, { signal: either, onProgress: onUploaded })),
      orStopBoth(hashPass(operation, reader, hashing, { signal: either, onBytes: onHashed })),
    ]);
    if (filled.status === 'fulfilled' && hashed.status === 'fulfilled')
      return { digest: hashed.value, files: [] };
    // The first failure is the reason; the other pass ended because of it.
    throw failed.signal.reason;
  });
}

async function hashPass(
  operation: Operation,
  reader: SourceReader,
  hashing: FileHashing,
  options: HashFileOptions,
): Promise<HostDigest> {
  const { clock } = operation;
  const began = clock.monotonic();
  const digest = await hashedByThreads(reader, hashing, options);
  await operation.stageDone('hash', hashing.request.byteLength, began, clock.monotonic() - began);
  return digest;
}

async function hashedByThreads(
  { readNatively }: SourceReader,
  { request, hashFile }: FileHashing,
  options: HashFileOptions,
): Promise<HostDigest> {
  if (readNatively === null) throw new TypeError('unreachable: checked by load()');
  return await hashFile(request, readNatively, options);
}

/** Progress of two passes as one: what both have done. */
function slowerOf(
  totalBytes: number,
  { onProgress }: SealOptions,
): { onUploaded(progress: { readonly bytes: number }): void; onHashed(bytes: number): void } {
  let uploaded = 0;
  let hashed = 0;
  let reported = 0;
  const report = (): void => {
    const bytes = Math.min(uploaded, hashed);
    if (bytes > reported) onProgress?.({ phase: 'load', bytes, totalBytes });
    reported = bytes;
  };
  return {
    onUploaded: ({ bytes }) => {
      uploaded = bytes;
      report();
    },
    onHashed: (bytes) => {
      hashed = bytes;
      report();
    },
  };
}
