import type { CryptoProvider } from '../../crypto/index.js';
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
    run: (job) => runSegmentJob(crypto, bytesOf(job.stem), job),
  };
}
