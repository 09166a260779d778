import {
  CompactRange,
  dataText,
  emptyChain,
  faultMessage,
  HASH_BYTES,
  KeyRatchet,
  MAX_LINE_BYTES,
  newLogId,
  parseCheckpoint,
  parseLine,
  parseNote,
  parseOrigin,
  parseStem,
  type SignedCheckpoint,
  splitHashes,
  splitLines,
  verifierKey,
  verifyNote,
} from '../../audit/index.js';
import { fromHex, invalidInput, isVramError, toHex } from '../../base/index.js';
import { readChunks } from '../files/index.js';
import { readFrontier } from './frontier.js';
import { type LogFiles, leavesPath, listLog, readCheckpointFile, segmentPath } from './layout.js';
import { corrupt, type Survey, type SurveyContext, type WalkEnd, type WalkStart } from './survey.js';
import { SurveyWalk } from './survey-walk.js';

/**
 * Reads a log up to its end and decides whether it can continue. Changes nothing.
 * Errors: AUDIT_CORRUPT for anything that no crash leaves behind; INVALID_INPUT for another worker's log.
 */
export async function surveyLog(context: SurveyContext): Promise<Survey> {
  const { fs, dir } = context;
  // Read before the listing: the segments must reach at least this far.
  const note = await readCheckpointFile(fs, dir);
  const files = await listLog(fs, dir);
  const checkpoint = note === null ? null : await ownCheckpoint(context, note);
  const logId =
    checkpoint === null ? await logIdOfRecordZero(context, files) : parseOrigin(checkpoint.origin).logId;
  checkExpected(context, logId);
  if (logId === null) return freshSurvey(context, files);
  checkOrder(files);
  const end =
    (await fromFrontier(context, files, checkpoint, logId)) ??
    (await fromFirstRecord(context, files, checkpoint, logId));
  return surveyOf(context, checkpoint, logId, end);
}

/**
 * A log that was replaced by another one of the same worker, or removed, would otherwise be continued as if it were
 * this one.
 */
function checkExpected({ expectedLogId }: SurveyContext, logId: string | null): void {
  if (expectedLogId === null || expectedLogId === logId) return;
  throw corrupt(
    `${logId === null ? 'it has no record' : `its id is ${logId}`}, and log ${expectedLogId} was expected`,
  );
}

async function ownCheckpoint(context: SurveyContext, note: string): Promise<SignedCheckpoint> {
  const { crypto, signer, workerId } = context;
  try {
    const { checkpoint } = parseCheckpoint(note);
    const owner = parseOrigin(checkpoint.origin).workerId;
    if (owner !== workerId) throw invalidInput('workerId', `must be "${owner}", whose log this is`);
    const key = await verifierKey(crypto, checkpoint.origin, signer.publicKey);
    if (await verifyNote(crypto, parseNote(note), key)) return checkpoint;
  } catch (error) {
    if (isVramError(error, 'INVALID_INPUT') && error.argument === 'workerId') throw error;
    throw corrupt('its checkpoint cannot be read', error);
  }
  throw corrupt('its checkpoint is not signed by the key in use (was the key file replaced?)');
}

/** A crash may come after record 0 and before the first checkpoint. */
async function logIdOfRecordZero({ fs, dir }: SurveyContext, files: LogFiles): Promise<string | null> {
  if (files.prunedStems.length > 0) throw corrupt('its checkpoint is missing');
  const [stem] = files.stems;
  if (stem === undefined) return null;
  for await (const [line] of splitLines(readChunks(fs, segmentPath(dir, stem)), MAX_LINE_BYTES)) {
    const parsed = line === undefined ? 'not-json' : parseLine(line.bytes);
    if (typeof parsed === 'string' || parsed.record.type !== 'audit.opened') return null;
    const logId = dataText(parsed.record, 'logId');
    return logId !== null && /^[0-9a-f]{32}$/.test(logId) ? logId : null;
  }
  return null;
}

/** A new log, or one whose first record was never completed. */
async function freshSurvey(context: SurveyContext, files: LogFiles): Promise<Survey> {
  const { fs, dir, crypto, token, workerId } = context;
  const [stem, ...more] = files.stems;
  if (more.length > 0) throw corrupt('its checkpoint is missing');
  let bytes = 0;
  if (stem !== undefined) {
    for await (const lines of splitLines(readChunks(fs, segmentPath(dir, stem)), MAX_LINE_BYTES)) {
      // A crash leaves one unfinished record. A whole line that is not a record is an edit.
      if (lines.some(({ terminated }) => terminated)) throw corrupt('record 0 cannot be read');
      bytes += lines.reduce((sum, line) => sum + line.bytes.length, 0);
    }
  }
  const logId = newLogId(crypto);
  const ratchet = await KeyRatchet.fromToken(crypto, token, workerId, logId);
  return {
    state: emptyChain(crypto, workerId, logId, ratchet),
    segment: null,
    checkpointedSize: 0,
    torn: stem === undefined || bytes === 0 ? null : { stem, seq: 0, offset: 0, bytes },
    newlineMissing: false,
    emptyStems: stem === undefined ? [] : [stem],
    closed: stem === undefined,
  };
}

/** The names alone show a segment missing from the middle or the front. */
function checkOrder({ stems, prunedStems }: LogFiles): void {
  const firsts = [...prunedStems, ...stems].map((stem) => parseStem(stem)?.firstSeq ?? -1);
  if (firsts[0] !== undefined && firsts[0] !== 0) throw corrupt(faultMessage('missing-segment', 0));
  for (const [index, first] of firsts.entries()) {
    if (index > 0 && first <= (firsts[index - 1] ?? 0)) throw corrupt('its segments are not in order');
  }
  if (stems.length === 0) throw corrupt(faultMessage('truncated', 0));
}

/**
 * Reads on from the stored frontier: only the newest segment. null where that proves nothing: the frontier is missing
 * or damaged, or its segment has no record yet. The file is unsigned, so damage in it does not mean a damaged log.
 */
async function fromFrontier(
  context: SurveyContext,
  files: LogFiles,
  checkpoint: SignedCheckpoint | null,
  logId: string,
): Promise<WalkEnd | null> {
  const start = checkpoint === null ? null : await frontierStart(context, files, checkpoint);
  if (start === null) return null;
  try {
    const end = await new SurveyWalk(context, checkpoint, start).run(logId);
    return end.segment === null ? null : end;
  } catch (error) {
    // If the log is damaged and not the frontier, the walk from the first record reports it.
    if (isVramError(error, 'AUDIT_CORRUPT')) return null;
    throw error;
  }
}

async function frontierStart(
  { fs, dir, crypto }: SurveyContext,
  { stems, prunedStems }: LogFiles,
  checkpoint: SignedCheckpoint,
): Promise<WalkStart | null> {
  const frontier = await readFrontier(fs, dir);
  if (frontier === null) return null;
  const { firstSeq, prev } = frontier;
  const at = stems.findIndex((stem) => parseStem(stem)?.firstSeq === firstSeq);
  // An epoch is the number of its segment; any other value would derive keys in vain.
  if (at < 0 || firstSeq > checkpoint.size || frontier.epoch !== prunedStems.length + at) return null;
  try {
    const tree = new CompactRange(crypto, 0, firstSeq, frontier.frontier);
    return { stems: stems.slice(at), epoch: frontier.epoch, prev: toHex(prev), tree };
  } catch (error) {
    if (isVramError(error, 'INVALID_INPUT')) return null;
    throw error;
  }
}

/** Reads the whole log, beginning with the leaf hashes of pruned segments. */
async function fromFirstRecord(
  context: SurveyContext,
  files: LogFiles,
  checkpoint: SignedCheckpoint | null,
  logId: string,
): Promise<WalkEnd> {
  const { fs, dir, crypto } = context;
  const { stems, prunedStems } = files;
  const tree = new CompactRange(crypto);
  for (const stem of prunedStems) {
    if (parseStem(stem)?.firstSeq !== tree.end) throw corrupt(faultMessage('missing-segment', tree.end));
    for await (const hash of splitHashes(readChunks(fs, leavesPath(dir, stem)))) {
      if (hash.length < HASH_BYTES) throw corrupt(faultMessage('retained-hashes', tree.end));
      await tree.append(hash);
    }
  }
  const prev = prunedStems.length === 0 ? '0'.repeat(64) : await firstPrev(context, files);
  const start = { stems, epoch: prunedStems.length, prev, tree };
  const end = await new SurveyWalk(context, checkpoint, start).run(logId);
  if (end.segment === null && end.tree.end > 0) throw corrupt(faultMessage('missing-segment', end.tree.end));
  return end;
}

/** The predecessor named by the first retained record. Its MAC, which the walk verifies, covers that. */
async function firstPrev({ fs, dir }: SurveyContext, { stems }: LogFiles): Promise<string> {
  const [stem] = stems;
  if (stem !== undefined) {
    for await (const [line] of splitLines(readChunks(fs, segmentPath(dir, stem)), MAX_LINE_BYTES)) {
      const parsed = line === undefined ? 'not-json' : parseLine(line.bytes);
      if (typeof parsed === 'string') break;
      return parsed.record.prev;
    }
  }
  throw corrupt('the first record after those that were pruned cannot be read');
}

async function surveyOf(
  { crypto, token, workerId }: SurveyContext,
  checkpoint: SignedCheckpoint | null,
  logId: string,
  end: WalkEnd,
): Promise<Survey> {
  const { tree, segment, torn, newlineMissing, emptyStems } = end;
  // A separate ratchet, because an empty segment after the continued one has used an epoch as well.
  const ratchet = await KeyRatchet.fromToken(crypto, token, workerId, logId);
  await ratchet.advanceTo(segment?.start.epoch ?? 0);
  return {
    state: {
      workerId,
      logId,
      ratchet,
      prev: fromHex(end.prev),
      tree,
      segment: segment === null ? null : { start: segment.start, bytes: segment.bytes },
    },
    segment: segment === null ? null : { stem: segment.stem, bytes: segment.bytes },
    checkpointedSize: checkpoint?.size ?? 0,
    torn,
    newlineMissing,
    emptyStems,
    closed: end.last?.type === 'audit.closed' && torn === null && !newlineMissing,
  };
}
