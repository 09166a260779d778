import {
  type AuditRecord,
  type CompactRange,
  type FileLine,
  faultMessage,
  KeyRatchet,
  LineChecker,
  leafHash,
  MAX_EPOCH,
  MAX_LINE_BYTES,
  parseLine,
  parseStem,
  type Segment,
  type SignedCheckpoint,
  splitLines,
} from '../../audit/index.js';
import { equalBytes, fromHex } from '../../base/index.js';
import type { Mac } from '../../crypto/index.js';
import { readChunks } from '../files/index.js';
import { segmentPath } from './layout.js';
import { corrupt, type SurveyContext, type TornTail, type WalkEnd, type WalkStart } from './survey.js';

/** How many records a log may have before its first checkpoint: those of opening it, and of a few attempts. */
const MAX_WITHOUT_CHECKPOINT = 256;

/**
 * Reads segments record by record up to the log's end, and distinguishes the trace of a crash from damage. Changes
 * nothing.
 */
export class SurveyWalk {
  readonly #context: SurveyContext;
  readonly #checkpoint: SignedCheckpoint | null;
  readonly #start: WalkStart;
  readonly #checker = new LineChecker();
  readonly #tree: CompactRange;
  #prev: string;
  #segment: WalkEnd['segment'] = null;
  #torn: TornTail | null = null;
  #newlineMissing = false;
  #last: AuditRecord | null = null;

  constructor(context: SurveyContext, checkpoint: SignedCheckpoint | null, start: WalkStart) {
    this.#context = context;
    this.#checkpoint = checkpoint;
    this.#start = start;
    this.#tree = start.tree;
    this.#prev = start.prev;
  }

  /** Errors: AUDIT_CORRUPT for anything that no crash leaves behind. */
  async run(logId: string): Promise<WalkEnd> {
    const { crypto, token, workerId } = this.#context;
    const { stems, epoch: firstEpoch } = this.#start;
    if (firstEpoch + stems.length > MAX_EPOCH) throw corrupt('it has more segments than a log can have');
    const ratchet = await KeyRatchet.fromToken(crypto, token, workerId, logId);
    const emptyStems: string[] = [];
    try {
      await this.#checkRoot();
      for (const [index, stem] of stems.entries()) {
        const last = index === stems.length - 1;
        await ratchet.advanceTo(firstEpoch + index);
        const before = this.#tree.end;
        await this.#segmentWalk(stem, firstEpoch + index, await ratchet.mac(), last);
        if (this.#tree.end === before) {
          if (!last) throw corrupt(faultMessage('missing-segment', before));
          emptyStems.push(stem);
        }
      }
    } finally {
      ratchet.destroy();
    }
    if (this.#tree.end < (this.#checkpoint?.size ?? 0)) {
      throw corrupt(faultMessage('truncated', this.#tree.end));
    }
    if (this.#checkpoint === null && this.#tree.end > MAX_WITHOUT_CHECKPOINT) {
      throw corrupt('its checkpoint is missing');
    }
    return {
      tree: this.#tree,
      prev: this.#prev,
      segment: this.#segment,
      last: this.#last,
      torn: this.#torn,
      newlineMissing: this.#newlineMissing,
      emptyStems,
    };
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
        await this.#accept(record, line, stem, start);
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

  async #accept(record: AuditRecord, line: FileLine, stem: string, start: Segment): Promise<void> {
    if (this.#checkpoint === null && !record.type.startsWith('audit.')) {
      // Before its first checkpoint a log records only its own opening.
      throw corrupt('its checkpoint is missing');
    }
    await this.#tree.append(await leafHash(this.#context.crypto, line.bytes));
    await this.#checkRoot();
    this.#prev = record.mac;
    this.#segment = { start, stem, bytes: line.offset + line.bytes.length + 1 };
    this.#newlineMissing = !line.terminated;
    this.#last = record;
  }

  /** No genuine record may follow the first bad line: a crash leaves none. */
  async #checkRubble({ bytes }: FileLine, mac: Mac): Promise<void> {
    const parsed = parseLine(bytes);
    if (typeof parsed === 'string' || !(await this.#checker.macHolds(bytes, parsed, mac))) return;
    throw corrupt(`record ${this.#tree.end} is damaged or missing, and genuine records follow it`);
  }

  async #checkRoot(): Promise<void> {
    const checkpoint = this.#checkpoint;
    if (checkpoint === null || checkpoint.size !== this.#tree.end) return;
    if (!equalBytes(await this.#tree.root(), checkpoint.root)) {
      throw corrupt(`the first ${checkpoint.size} records are not those of its checkpoint`);
    }
  }
}
