import type { SignedCheckpoint } from '../format/index.js';
import type { ChainedLine } from './chain.js';
import type { AuditGroup, AuditSink } from './sink.js';

/** The sinks of a log: all receive the same lines. */
export class Sinks {
  readonly #sinks: readonly AuditSink[];

  constructor(sinks: readonly AuditSink[]) {
    this.#sinks = sinks;
  }

  /** Every sink receives every line even if another fails, because the chain has moved on. Throws the first failure. */
  async append(lines: readonly ChainedLine[]): Promise<void> {
    const failures: unknown[] = [];
    for (const group of groupBySegment(lines)) {
      for (const sink of this.#sinks) {
        try {
          await sink.append(group);
        } catch (error) {
          failures.push(error);
        }
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  async sync(): Promise<void> {
    for (const sink of this.#sinks) await sink.sync();
  }

  async checkpoint(checkpoint: SignedCheckpoint): Promise<void> {
    for (const sink of this.#sinks) await sink.checkpoint(checkpoint);
  }

  /** Closes all of them and returns their failures. */
  async close(): Promise<unknown[]> {
    const failures: unknown[] = [];
    // The first one last: a directory admits its next writer once everything else is closed.
    for (const sink of [...this.#sinks].reverse()) {
      try {
        await sink.close();
      } catch (error) {
        failures.push(error);
      }
    }
    return failures;
  }
}

function groupBySegment(lines: readonly ChainedLine[]): AuditGroup[] {
  const groups: { segment: AuditGroup['segment']; firstSeq: number; lines: Uint8Array[] }[] = [];
  for (const { segment, seq, bytes } of lines) {
    const last = groups.at(-1);
    if (last !== undefined && last.segment === segment) last.lines.push(bytes);
    else groups.push({ segment, firstSeq: seq, lines: [bytes] });
  }
  return groups;
}
