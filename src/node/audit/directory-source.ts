import { type LogSource, runSegmentJob } from '../../audit/index.js';
import type { CryptoProvider } from '../../crypto/index.js';
import { type AuditFileSystem, readChunks } from '../files/index.js';
import { leavesPath, listLog, readCheckpointFile, segmentPath } from './layout.js';

/** A log's directory, for `verifyLog`. */
export async function directorySource(
  fs: AuditFileSystem,
  crypto: CryptoProvider,
  dir: string,
): Promise<LogSource> {
  // Reads the checkpoint first: a concurrent writer only appends to what it covers.
  const checkpoint = await readCheckpointFile(fs, dir);
  const { stems, prunedStems } = await listLog(fs, dir);
  return {
    stems,
    prunedStems,
    checkpoint,
    retainedHashes: (stem) => readChunks(fs, leavesPath(dir, stem)),
    run: (job) => runSegmentJob(crypto, readChunks(fs, segmentPath(dir, job.stem)), job),
  };
}
