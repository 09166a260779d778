import { type LogSource, runSegmentJob } from '../../src/audit/index.js';
import type { CryptoProvider } from '../../src/crypto/index.js';

/** A log whose segments are in memory, for `verifyLog`. */
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
