import {
  type AuditRecord,
  type ChainState,
  CompactRange,
  dataText,
  emptyChain,
  type FileLine,
  faultMessage,
  KeyRatchet,
  LineChecker,
  leafHash,
  MAX_EPOCH,
  MAX_LINE_BYTES,
  newLogId,
  parseCheckpoint,
  parseLine,
  parseNote,
  parseOrigin,
  parseStem,
  type Segment,
  type SignedCheckpoint,
  splitLines,
  verifierKey,
  verifyNote,
} from '../../audit/index.js';
import { equalBytes, fromHex, invalidInput, isVramError, toHex, VramError } from '../../base/index.js';
import type { CryptoProvider, Mac, Signer } from '../../crypto/index.js';
import { type AuditFileSystem, readChunks } from '../files/index.js';
import { readFrontier } from './frontier.js';
import { type LogFiles, leavesPath, listLog, readCheckpointFile, segmentPath } from './layout.js';

/** What follows the last good record and was never acknowledged. */
export interface TornTail {
  readonly stem: string;
  readonly seq: number;
  /** Where it begins in the segment; everything from there on goes. */
  readonly offset: number;
  readonly bytes: number;
}

/** What is found in a log's directory before anything is changed in it. */
export interface Survey {
  readonly state: ChainState;
  /** The segment that goes on, as it will be once the tail is mended; null for an empty log. */
  readonly segment: { readonly stem: string; readonly bytes: number } | null;
  readonly checkpointedSize: number;
  readonly torn: TornTail | null;
  /** The last record is whole and its MAC holds; only its newline is missing. */
  readonly newlineMissing: boolean;
  /** Segments without a record: made, but not written before the crash. */
  readonly emptyStems: readonly string[];
  /** False where the last writer did not come to close the log. */
  readonly closed: boolean;
}

export interface SurveyContext {
  readonly fs: AuditFileSystem;
  readonly dir: string;
  readonly crypto: CryptoProvider;
  readonly token: Uint8Array;
  readonly workerId: string;
  readonly signer: Signer;
  /** Read every segment, not only the newest. */
  readonly whole: boolean;
}

/** How many records a log may have before its first checkpoint: what opening writes, and a few attempts at it. */
const MAX_WITHOUT_CHECKPOINT = 256;

/**
 * Reads a log up to its end and decides whether it can go on. Changes nothing.
 * Errors: AUDIT_CORRUPT for anything that no crash leaves behind; INVALID_INPUT for another worker's log.
 */
export async function surveyLog(context: SurveyContext): Promise<Survey> {
  const { fs, dir } = context;
  // Before the listing: the segments must reach at least this far.
  const note = await readCheckpointFile(fs, dir);
  const files = await listLog(fs, dir);
  const checkpoint = note === null ? null : await ownCheckpoint(context, note);
  const logId =
    checkpoint === null ? await logIdOfRecordZero(context, files) : parseOrigin(checkpoint.origin).logId;
  if (logId === null) return freshSurvey(context, files);
  return new Walk(context, files, checkpoint, logId).survey();
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

/** A new log, or one whose first record never became whole. */
async function freshSurvey(context: SurveyContext, files: LogFiles): Promise<Survey> {
  const { fs, dir, crypto, token, workerId } = context;
  const [stem, ...more] = files.stems;
  if (more.length > 0) throw corrupt('its checkpoint is missing');
  let bytes = 0;
  if (stem !== undefined) {
    for await (const lines of splitLines(readChunks(fs, segmentPath(dir, stem)), MAX_LINE_BYTES)) {
      // One record was being written; a whole line would be more than that, or someone's edit.
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

class Walk {
  readonly #context: SurveyContext;
  readonly #files: LogFiles;
  readonly #checkpoint: SignedCheckpoint | null;
  readonly #logId: string;
  readonly #checker = new LineChecker();
  #tree: CompactRange;
  #prev: string = '0'.repeat(64);
  #segment: Segment | null = null;
  #segmentBytes = 0;
  #torn: TornTail | null = null;
  #newlineMissing = false;
  #last: AuditRecord | null = null;

  constructor(context: SurveyContext, files: LogFiles, checkpoint: SignedCheckpoint | null, logId: string) {
    this.#context = context;
    this.#files = files;
    this.#checkpoint = checkpoint;
    this.#logId = logId;
    this.#tree = new CompactRange(context.crypto);
  }

  async survey(): Promise<Survey> {
    const { crypto, token, workerId } = this.#context;
    const ratchet = await KeyRatchet.fromToken(crypto, token, workerId, this.#logId);
    const { stems, firstEpoch } = await this.#begin();
    await this.#checkRoot();
    const emptyStems: string[] = [];
    for (const [index, stem] of stems.entries()) {
      const last = index === stems.length - 1;
      if (firstEpoch + index > MAX_EPOCH) throw corrupt('it has more segments than there are epochs');
      await ratchet.advanceTo(firstEpoch + index);
      const before = this.#tree.end;
      await this.#segmentWalk(stem, firstEpoch + index, await ratchet.mac(), last);
      if (this.#tree.end === before) {
        if (!last) throw corrupt(faultMessage('missing-segment', before));
        emptyStems.push(stem);
      }
    }
    if (this.#tree.end < (this.#checkpoint?.size ?? 0))
      throw corrupt(faultMessage('truncated', this.#tree.end));
    if (this.#checkpoint === null && this.#tree.end > MAX_WITHOUT_CHECKPOINT) {
      throw corrupt('its checkpoint is missing');
    }
    if (this.#segment === null && this.#tree.end > 0) {
      // The frontier is that of a segment without records, so nothing has proved it: the record before it must.
      if (this.#context.whole) throw corrupt(faultMessage('missing-segment', this.#tree.end));
      return new Walk({ ...this.#context, whole: true }, this.#files, this.#checkpoint, this.#logId).survey();
    }
    return this.#result(emptyStems);
  }

  async #result(emptyStems: readonly string[]): Promise<Survey> {
    const { crypto, token, workerId } = this.#context;
    const segment = this.#segment;
    // The walk's ratchet may have passed the epoch that goes on: an empty segment had one of its own.
    const ratchet = await KeyRatchet.fromToken(crypto, token, workerId, this.#logId);
    await ratchet.advanceTo(segment?.epoch ?? 0);
    const stem = this.#files.stems.filter((name) => !emptyStems.includes(name)).at(-1);
    return {
      state: {
        workerId,
        logId: this.#logId,
        ratchet,
        prev: fromHex(this.#prev),
        tree: this.#tree,
        segment: segment === null ? null : { start: segment, bytes: this.#segmentBytes },
      },
      segment: segment === null || stem === undefined ? null : { stem, bytes: this.#segmentBytes },
      checkpointedSize: this.#checkpoint?.size ?? 0,
      torn: this.#torn,
      newlineMissing: this.#newlineMissing,
      emptyStems,
      closed: this.#last?.type === 'audit.closed' && this.#torn === null && !this.#newlineMissing,
    };
  }

  /** From the kept frontier if it can be used, else from the first record there is. */
  async #begin(): Promise<{ readonly stems: readonly string[]; readonly firstEpoch: number }> {
    const { fs, dir, crypto, whole } = this.#context;
    const { stems } = this.#files;
    this.#checkOrder();
    const frontier = whole || this.#checkpoint === null ? null : await readFrontier(fs, dir);
    if (frontier !== null) {
      const at = stems.findIndex((stem) => parseStem(stem)?.firstSeq === frontier.firstSeq);
      const tree = treeOf(crypto, frontier);
      if (at >= 0 && tree !== null && frontier.firstSeq <= (this.#checkpoint?.size ?? 0)) {
        this.#tree = tree;
        this.#prev = toHex(frontier.prev);
        return { stems: stems.slice(at), firstEpoch: frontier.epoch };
      }
    }
    return { stems, firstEpoch: await this.#retained() };
  }

  /** Names alone already say whether a segment is missing from the middle or the front. */
  #checkOrder(): void {
    const { stems, prunedStems } = this.#files;
    const firsts = [...prunedStems, ...stems].map((stem) => parseStem(stem)?.firstSeq ?? -1);
    if (firsts[0] !== undefined && firsts[0] !== 0) throw corrupt(faultMessage('missing-segment', 0));
    for (const [index, first] of firsts.entries()) {
      if (index > 0 && first <= (firsts[index - 1] ?? 0)) throw corrupt('its segments are not in order');
    }
    if (stems.length === 0) throw corrupt(faultMessage('truncated', 0));
  }

  /** Adds the leaves of pruned segments. Gives the epoch of the first segment that has records. */
  async #retained(): Promise<number> {
    const { fs, dir } = this.#context;
    for (const stem of this.#files.prunedStems) {
      let rest = new Uint8Array(0);
      for await (const chunk of readChunks(fs, leavesPath(dir, stem))) {
        const bytes = new Uint8Array(rest.length + chunk.length);
        bytes.set(rest);
        bytes.set(chunk, rest.length);
        const whole = bytes.length - (bytes.length % 32);
        for (let at = 0; at < whole; at += 32) await this.#addLeaf(bytes.slice(at, at + 32));
        rest = bytes.slice(whole);
      }
    }
    const [stem] = this.#files.stems;
    if (this.#files.prunedStems.length === 0 || stem === undefined) return 0;
    for await (const [line] of splitLines(readChunks(fs, segmentPath(dir, stem)), MAX_LINE_BYTES)) {
      const parsed = line === undefined ? 'not-json' : parseLine(line.bytes);
      if (typeof parsed === 'string') break;
      this.#prev = parsed.record.prev;
      return parsed.record.epoch;
    }
    throw corrupt('the first record after those that were pruned cannot be read');
  }

  async #segmentWalk(stem: string, epoch: number, mac: Mac, last: boolean): Promise<void> {
    const { fs, dir, workerId } = this.#context;
    const name = parseStem(stem);
    if (name === null || name.firstSeq !== this.#tree.end) {
      throw corrupt(faultMessage('missing-segment', this.#tree.end));
    }
    const start: Segment = { ...name, epoch, prev: fromHex(this.#prev), frontier: this.#tree.hashes };
    for await (const lines of splitLines(readChunks(fs, segmentPath(dir, stem)), MAX_LINE_BYTES)) {
      for (const line of lines) {
        if (this.#torn !== null) {
          await this.#checkRubble(line, mac);
          continue;
        }
        const seq = this.#tree.end;
        const record = await this.#checker.check(line.bytes, { workerId, seq, epoch, prev: this.#prev, mac });
        const misnamed =
          seq === name.firstSeq && !('fault' in record) && record.ts.slice(0, 10) !== name.date;
        if ('fault' in record || misnamed) {
          const fault = 'fault' in record ? record.fault : 'wrong-segment-name';
          if (misnamed || !last || seq < (this.#checkpoint?.size ?? 0)) {
            throw corrupt(faultMessage(line.terminated || fault === 'bad-mac' ? fault : 'torn', seq));
          }
          await this.#checkRubble(line, mac);
          this.#torn = { stem, seq, offset: line.offset, bytes: 0 };
          continue;
        }
        if (!line.terminated && !last) throw corrupt(faultMessage('torn', seq));
        await this.#accept(record, line, start);
      }
    }
    if (this.#torn !== null) {
      const file = await fs.open(segmentPath(dir, stem), 'read');
      try {
        this.#torn = { ...this.#torn, bytes: (await file.size()) - this.#torn.offset };
      } finally {
        await file.close();
      }
    }
  }

  async #accept(record: AuditRecord, line: FileLine, start: Segment): Promise<void> {
    if (this.#checkpoint === null && !record.type.startsWith('audit.')) {
      // Nothing but its own opening is recorded before a log has its first checkpoint.
      throw corrupt('its checkpoint is missing');
    }
    await this.#addLeaf(await leafHash(this.#context.crypto, line.bytes));
    this.#prev = record.mac;
    this.#segment = start;
    this.#segmentBytes = line.offset + line.bytes.length + 1;
    this.#newlineMissing = !line.terminated;
    this.#last = record;
  }

  /** After the first bad line nothing may be genuine: a record whose MAC holds was not left by a crash. */
  async #checkRubble({ bytes }: FileLine, mac: Mac): Promise<void> {
    const parsed = parseLine(bytes);
    if (typeof parsed === 'string' || !(await this.#checker.macHolds(bytes, parsed, mac))) return;
    throw corrupt(`record ${this.#tree.end} is damaged or missing, and genuine records follow it`);
  }

  async #addLeaf(leaf: Uint8Array): Promise<void> {
    await this.#tree.append(leaf);
    await this.#checkRoot();
  }

  async #checkRoot(): Promise<void> {
    const checkpoint = this.#checkpoint;
    if (checkpoint === null || checkpoint.size !== this.#tree.end) return;
    if (!equalBytes(await this.#tree.root(), checkpoint.root)) {
      throw corrupt(`the first ${checkpoint.size} records are not those of its checkpoint`);
    }
  }
}

function treeOf(crypto: CryptoProvider, { firstSeq, frontier }: Segment): CompactRange | null {
  try {
    return new CompactRange(crypto, 0, firstSeq, frontier);
  } catch (error) {
    if (isVramError(error, 'INVALID_INPUT')) return null;
    throw error;
  }
}

/** AUDIT_CORRUPT: the log is left as it is. */
export function corrupt(what: string, cause?: unknown): VramError {
  return new VramError('AUDIT_CORRUPT', `the audit log is corrupt: ${what}. Nothing was changed`, { cause });
}
