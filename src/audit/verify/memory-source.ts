import type { CryptoProvider } from '../../crypto/index.js';
import { MAX_LINE_BYTES, parseLine, splitLines } from '../format/index.js';
import { runSegmentJob } from './segment-verifier.js';
import type { LogSource } from './verifier.js';

/** A log whose segments are in memory, for `verifyLog`: those of a MemorySink, or files that a page was given. */
export function memoryLogSource(
  crypto: CryptoProvider,
  segments: readonly { readonly stem: string; readonly bytes: Uint8Array }[],
  checkpoint: string | null,
): LogSource {
  const bytesOf = (stem: string): Uint8Array[] =>
    segments.filter((segment) => segment.stem === stem).map(({ bytes }) => bytes);
  return {
    prunedStems: [],
    stems: segments.map(({ stem }) => stem),
    checkpoint,
    retainedHashes: () => [],
    claimedEpoch: (stem) => claimedEpoch(bytesOf(stem)),
    run: (job) => runSegmentJob(crypto, bytesOf(job.stem), job),
  };
}

/** epoch of the first record among chunks, as it says itself; null where there is none that can be read. */
export async function claimedEpoch(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<number | null> {
  for await (const [line] of splitLines(chunks, MAX_LINE_BYTES)) {
    if (line === undefined) return null;
    const parsed = parseLine(line.bytes);
    return typeof parsed === 'string' ? null : parsed.record.epoch;
  }
  return null;
}
