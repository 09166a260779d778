import { concatBytes } from '../../base/index.js';
import {
  type AuditRecord,
  parseLine,
  type Segment,
  type SignedCheckpoint,
  segmentStem,
} from '../format/index.js';
import type { AuditGroup, AuditSink } from './sink.js';

/** A log in memory, for pages and tests. It grows with every record and ends with the process. */
export class MemorySink implements AuditSink {
  readonly name = 'memory';
  readonly #segments = new Map<string, { readonly start: Segment; readonly lines: Uint8Array[] }>();
  #checkpoint: SignedCheckpoint | null = null;

  async append({ segment, lines }: AuditGroup): Promise<void> {
    const stem = segmentStem(segment);
    const held = this.#segments.get(stem);
    if (held === undefined) this.#segments.set(stem, { start: segment, lines: [...lines] });
    else held.lines.push(...lines);
  }

  async sync(): Promise<void> {}

  async checkpoint(checkpoint: SignedCheckpoint): Promise<void> {
    this.#checkpoint = checkpoint;
  }

  async close(): Promise<void> {}

  /** The newest checkpoint, or null where none was signed. */
  get latestCheckpoint(): SignedCheckpoint | null {
    return this.#checkpoint;
  }

  /** Every segment as the file it would be. */
  segments(): { readonly stem: string; readonly bytes: Uint8Array }[] {
    return [...this.#segments].map(([stem, { lines }]) => ({ stem, bytes: concatBytes(...lines) }));
  }

  /** Every record, in order. */
  records(): AuditRecord[] {
    return [...this.#segments.values()].flatMap(({ lines }) =>
      lines.map((line) => {
        const parsed = parseLine(line.subarray(0, -1));
        if (typeof parsed === 'string') throw new Error(`the log holds a line that is ${parsed}`);
        return parsed.record;
      }),
    );
  }
}
