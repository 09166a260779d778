import { formatVerifierKey, runSegmentJob, verifierKey, verifyLog } from '../../audit/index.js';
import { directorySource } from './directory-source.js';
import { repairedChunks } from './repair.js';
import { corrupt, type Survey, type SurveyContext } from './survey.js';

/**
 * Verifies every segment of a surveyed log, as "audit verify" does, but without the unfinished end that repair will
 * remove. Errors: AUDIT_CORRUPT with the first bad record.
 */
export async function verifyWhole(context: SurveyContext, survey: Survey, origin: string): Promise<void> {
  const { fs, dir, crypto, token, signer } = context;
  const source = await directorySource(fs, crypto, dir);
  // Before its first checkpoint a log has a few records, and the survey has read them all.
  if (source.checkpoint === null) return;
  const empty = new Set(survey.emptyStems);
  const key = await verifierKey(crypto, origin, signer.publicKey);
  const report = await verifyLog(
    crypto,
    {
      ...source,
      stems: source.stems.filter((stem) => !empty.has(stem)),
      run: (job) => runSegmentJob(crypto, repairedChunks(fs, dir, job.stem, survey), job),
    },
    { token, verifierKey: formatVerifierKey(key) },
  );
  if (report.bad !== null) throw corrupt(report.bad.message);
}
