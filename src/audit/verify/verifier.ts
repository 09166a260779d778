import { checkInteger, equalBytes, invalidInput, isVramError, toBase64 } from '../../base/index.js';
import type { CryptoProvider } from '../../crypto/index.js';
import {
  CompactRange,
  checkLogId,
  HASH_BYTES,
  KeyRatchet,
  MAC_BYTES,
  MAX_EPOCH,
  parseCheckpoint,
  parseOrigin,
  parseStem,
  parseVerifierKey,
  type SignedCheckpoint,
  splitHashes,
  type UnverifiedNote,
  type VerifierKey,
  verifyNote,
} from '../format/index.js';
import {
  type AuditFault,
  type BadRecord,
  faultMessage,
  type PruneNotice,
  type SegmentJob,
  type SegmentResult,
} from './segment-verifier.js';

/** A stored log. */
export interface LogSource {
  /** Pruned segments, of which only the leaf hashes remain, in order. */
  readonly prunedStems: readonly string[];
  /** Segments with records, in order. */
  readonly stems: readonly string[];
  /** The newest checkpoint stored with the log, or null. Read before the segments are listed. */
  readonly checkpoint: string | null;
  /** Leaf hashes of a pruned segment, end to end. */
  retainedHashes(stem: string): AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
  /** Verifies one segment. */
  run(job: SegmentJob): Promise<SegmentResult>;
}

export interface VerifyLogOptions {
  /** With it, every record's MAC is verified. */
  readonly token?: Uint8Array | undefined;
  /** The line that "audit key" prints, from a place that the log's host cannot write. Required without the token. */
  readonly verifierKey?: string | undefined;
  /** A signed checkpoint from elsewhere: detects truncation and rollback. */
  readonly checkpoint?: string | undefined;
  /** The expected log, 32 lowercase hex digits: detects another log in its place, even one of the same worker. */
  readonly logId?: string | undefined;
  /** True while a writer has the log open: then an unfinished last line is not a fault. */
  readonly live?: boolean | undefined;
  /** Segments verified at once, default 1. */
  readonly concurrency?: number | undefined;
  readonly onProgress?: (progress: { readonly records: number; readonly segments: number }) => void;
}

export interface CheckedHead {
  readonly size: number;
  /** Base64, as in the checkpoint. */
  readonly root: string;
}

/** What was checked, and the findings. */
export interface AuditReport {
  readonly v: 1;
  readonly ok: boolean;
  readonly origin: string | null;
  /**
   * Records read, all or those before the fault, with those that were pruned. Where `ok` says so they are genuine: with
   * the token all of them, without it those under the checkpoint.
   */
  readonly records: number;
  readonly prunedRecords: number;
  readonly segments: number;
  /**
   * MACs of all records, or only that they follow each other; `not-verified` if they do not, or if the fault was met
   * before the last of them.
   */
  readonly chain: 'verified' | 'links-only' | 'not-verified';
  readonly signature: 'verified' | 'not-verified';
  /** The log's own newest checkpoint, where it holds. */
  readonly checkpoint: CheckedHead | null;
  /** The checkpoint kept elsewhere, where it holds. */
  readonly external: CheckedHead | null;
  readonly recordsPastCheckpoint: number;
  readonly bad: BadRecord | null;
  /** The limits of this verification. */
  readonly notes: readonly string[];
}

interface ReadCheckpoint {
  readonly checkpoint: SignedCheckpoint;
  readonly note: UnverifiedNote;
}

/**
 * Verifies a log as far as the options allow: with the token every MAC, with a verifier key the signatures, always the
 * tree. Returns a report for any log, however damaged. Errors: INVALID_INPUT for options that prove nothing or that
 * cannot be read.
 */
export async function verifyLog(
  crypto: CryptoProvider,
  source: LogSource,
  options: VerifyLogOptions,
): Promise<AuditReport> {
  if (options.token === undefined && options.verifierKey === undefined) {
    throw invalidInput('verifierKey', 'or a token must be given: without a key the log cannot be verified');
  }
  const key = options.verifierKey === undefined ? null : await parseVerifierKey(crypto, options.verifierKey);
  if (options.logId !== undefined) checkLogId(options.logId);
  const external =
    options.checkpoint === undefined ? null : parseCheckpoint(options.checkpoint, 'checkpoint');
  const own = readOwnCheckpoint(source.checkpoint);
  const verification = new LogVerification(crypto, source, options, key, own, external);
  return verification.report();
}

function readOwnCheckpoint(note: string | null): ReadCheckpoint | AuditFault {
  if (note === null) return 'checkpoint-missing';
  try {
    return parseCheckpoint(note);
  } catch (error) {
    if (isVramError(error, 'INVALID_INPUT')) return 'checkpoint-unreadable';
    throw error;
  }
}

class LogVerification {
  readonly #crypto: CryptoProvider;
  readonly #source: LogSource;
  readonly #options: VerifyLogOptions;
  readonly #key: VerifierKey | null;
  readonly #own: ReadCheckpoint | AuditFault;
  readonly #external: ReadCheckpoint | null;
  readonly #tree: CompactRange;
  readonly #roots = new Map<number, Uint8Array>();
  readonly #sizes: readonly number[];
  readonly #prunes: PruneNotice[] = [];
  readonly #verifierKeys = new Set<string>();
  /** Keys are derived one after the other: the ratchet only moves forward. */
  #keys: Promise<unknown> = Promise.resolve();
  #prunedRecords = 0;
  #firstPrev: string | null = null;
  #bad: BadRecord | null = null;
  #chained = false;
  #signed = false;
  #unfinished = false;

  constructor(
    crypto: CryptoProvider,
    source: LogSource,
    options: VerifyLogOptions,
    key: VerifierKey | null,
    own: ReadCheckpoint | AuditFault,
    external: ReadCheckpoint | null,
  ) {
    this.#crypto = crypto;
    this.#source = source;
    this.#options = options;
    this.#key = key;
    this.#own = own;
    this.#external = external;
    this.#tree = new CompactRange(crypto);
    this.#sizes = [own, external].flatMap((read) =>
      read === null || typeof read === 'string' ? [] : [read.checkpoint.size],
    );
  }

  async report(): Promise<AuditReport> {
    const origin = this.#origin();
    if (origin === null) {
      this.#fault(0, null, typeof this.#own === 'string' ? this.#own : 'checkpoint-missing');
    } else {
      const { workerId, logId } = parseOrigin(origin);
      this.#checkLogId(logId);
      if (this.#bad === null) await this.#retained();
      if (this.#bad === null) await this.#segments(workerId, logId);
      if (this.#bad === null) await this.#checkCheckpoints(origin);
      if (this.#bad === null) this.#checkPruning();
    }
    const held = this.#bad === null && typeof this.#own !== 'string' ? this.#own.checkpoint : null;
    return {
      v: 1,
      ok: this.#bad === null,
      origin,
      records: this.#tree.end,
      prunedRecords: this.#prunedRecords,
      segments: this.#source.stems.length,
      chain: this.#chain(),
      signature: this.#signed ? 'verified' : 'not-verified',
      checkpoint: held === null ? null : headOf(held),
      external: this.#bad === null && this.#external !== null ? headOf(this.#external.checkpoint) : null,
      recordsPastCheckpoint: held === null ? 0 : this.#tree.end - held.size,
      bad: this.#bad,
      notes: this.#notes(held),
    };
  }

  #chain(): AuditReport['chain'] {
    if (!this.#chained) return 'not-verified';
    return this.#options.token === undefined ? 'links-only' : 'verified';
  }

  /** The log's identity. It is proved by the signature, or by MACs made with keys that are derived from it. */
  #origin(): string | null {
    if (typeof this.#own !== 'string') return this.#own.checkpoint.origin;
    return this.#external?.checkpoint.origin ?? null;
  }

  #checkLogId(logId: string): void {
    const { logId: expected } = this.#options;
    if (expected === undefined || expected === logId) return;
    this.#checkpointFault('checkpoint-origin', `the log has the id ${logId}, and ${expected} was expected`);
  }

  async #retained(): Promise<void> {
    for (const stem of this.#source.prunedStems) {
      if (parseStem(stem)?.firstSeq !== this.#tree.end) {
        this.#fault(this.#tree.end, stem, 'missing-segment');
        return;
      }
      for await (const hash of splitHashes(this.#source.retainedHashes(stem))) {
        if (hash.length < HASH_BYTES) {
          this.#fault(this.#tree.end, stem, 'retained-hashes');
          return;
        }
        await this.#tree.append(hash);
        await this.#keepRoot(this.#tree);
      }
    }
    this.#prunedRecords = this.#tree.end;
  }

  async #segments(workerId: string, logId: string): Promise<void> {
    const { stems, prunedStems } = this.#source;
    const concurrency = checkInteger('concurrency', this.#options.concurrency ?? 1, 1);
    // An epoch is the number of its segment. Pruned segments still have their hashes, so epochs are counted, not read
    // from the log.
    const firstEpoch = prunedStems.length;
    if (firstEpoch + stems.length > MAX_EPOCH) {
      this.#fault(this.#tree.end, stems[0] ?? null, 'wrong-epoch');
      return;
    }
    const { token } = this.#options;
    const ratchet =
      token === undefined ? null : await KeyRatchet.fromToken(this.#crypto, token, workerId, logId);
    const running: Promise<SegmentResult>[] = [];
    try {
      let lastMac: string | null = null;
      for (let next = 0, done = 0; done < stems.length; done++) {
        for (; next < stems.length && running.length < concurrency; next++) {
          const started = this.#start(stems[next] ?? '', firstEpoch + next, workerId, ratchet);
          // Awaited later; until then this marks a failure as handled.
          started.catch(() => undefined);
          running.push(started);
        }
        const result = await running.shift();
        if (result === undefined) break;
        if (!(await this.#join(result, lastMac, done === stems.length - 1))) break;
        lastMac = result.lastMac ?? lastMac;
        this.#options.onProgress?.({ records: this.#tree.end, segments: done + 1 });
      }
    } finally {
      ratchet?.destroy();
      await Promise.allSettled(running);
    }
    if (this.#bad === null && this.#tree.end === 0) this.#fault(0, stems[0] ?? null, 'missing-segment');
    this.#chained = this.#bad === null;
  }

  async #start(
    stem: string,
    epoch: number,
    workerId: string,
    ratchet: KeyRatchet | null,
  ): Promise<SegmentResult> {
    const macKey = ratchet === null ? null : await this.#macKey(ratchet, epoch);
    return this.#source.run({ stem, workerId, epoch, macKey, snapshots: this.#sizes });
  }

  #macKey(ratchet: KeyRatchet, epoch: number): Promise<Uint8Array> {
    const key = this.#keys.then(async () => {
      await ratchet.advanceTo(epoch);
      return ratchet.macKey();
    });
    this.#keys = key;
    return key;
  }

  /** Adds a segment's records to the tree. False at the first fault. */
  async #join(result: SegmentResult, lastMac: string | null, last: boolean): Promise<boolean> {
    const { stem, firstPrev, range } = result;
    if (range.begin !== this.#tree.end) {
      this.#fault(
        this.#tree.end,
        stem,
        range.begin > this.#tree.end ? 'missing-segment' : 'wrong-segment-name',
      );
      return false;
    }
    if (firstPrev !== null) {
      const expected = lastMac ?? (this.#prunedRecords === 0 ? '0'.repeat(2 * MAC_BYTES) : null);
      if (expected !== null && firstPrev !== expected) {
        this.#fault(range.begin, stem, 'wrong-prev', 0);
        return false;
      }
      this.#firstPrev ??= firstPrev;
    } else if (!last && result.bad === null) {
      // Only the newest segment can be empty: a crash between making it and writing to it.
      this.#fault(range.begin, stem, 'missing-segment', 0);
      return false;
    }
    for (const [size, upTo] of result.snapshots) {
      const tree = this.#tree.copy();
      await tree.join(upTo);
      this.#roots.set(size, await tree.root());
    }
    await this.#tree.join(range);
    // One by one: a segment may hold more of them than a call can have arguments.
    for (const prune of result.prunes) this.#prunes.push(prune);
    for (const key of result.verifierKeys) this.#verifierKeys.add(key);
    if (result.bad === null) return true;
    if (last && this.#options.live === true && result.bad.reason === 'torn') {
      this.#unfinished = true;
      return true;
    }
    this.#bad = result.bad;
    return false;
  }

  async #keepRoot(tree: CompactRange): Promise<void> {
    if (this.#sizes.includes(tree.end)) this.#roots.set(tree.end, await tree.root());
  }

  /**
   * Records must have been removed by the writer, whose record says up to where. That record counts only if its MAC or
   * a later checkpoint proves it: anyone can append lines after the checkpoint.
   */
  #checkPruning(): void {
    if (this.#prunedRecords === 0) return;
    const { stems, prunedStems } = this.#source;
    const proved = this.#options.token === undefined ? Math.max(...this.#sizes) : this.#tree.end;
    const explained = this.#prunes.some(
      ({ seq, firstKeptSeq, firstKeptEpoch, prev }) =>
        seq < proved &&
        (firstKeptSeq > this.#prunedRecords ||
          (firstKeptSeq === this.#prunedRecords &&
            firstKeptEpoch === prunedStems.length &&
            prev === this.#firstPrev)),
    );
    if (!explained) this.#fault(0, stems[0] ?? null, 'unexplained-pruning');
  }

  async #checkCheckpoints(origin: string): Promise<void> {
    if (typeof this.#own === 'string') {
      this.#fault(0, null, this.#own);
      return;
    }
    await this.#checkCheckpoint(this.#own, origin, 'the checkpoint of the log');
    if (this.#bad === null && this.#external !== null) {
      await this.#checkCheckpoint(this.#external, origin, 'the checkpoint kept elsewhere');
    }
  }

  async #checkCheckpoint(read: ReadCheckpoint, origin: string, which: string): Promise<void> {
    const { checkpoint } = read;
    if (checkpoint.origin !== origin || (this.#key !== null && this.#key.name !== origin)) {
      this.#checkpointFault('checkpoint-origin', `${which} or the verifier key names another log`);
      return;
    }
    if (!(await this.#isSigned(read.note))) {
      this.#checkpointFault('checkpoint-signature', `${which} is not signed by the log's key`);
      return;
    }
    this.#signed = true;
    if (checkpoint.size > this.#tree.end) {
      const message =
        `${which} covers ${checkpoint.size} records, ${this.#tree.end} are there: the log was cut or ` +
        `rolled back`;
      this.#bad = { seq: this.#tree.end, segment: null, offset: null, reason: 'truncated', message };
      return;
    }
    const root = this.#roots.get(checkpoint.size) ?? (await this.#emptyRoot(checkpoint.size));
    if (root === null || !equalBytes(root, checkpoint.root)) {
      const why =
        this.#options.token === undefined
          ? 'one of them was changed; verification with the token names it'
          : 'though every MAC holds: this is not the history that was signed';
      this.#checkpointFault(
        'root-mismatch',
        `the first ${checkpoint.size} records are not those of ${which}: ${why}`,
      );
    }
  }

  async #emptyRoot(size: number): Promise<Uint8Array | null> {
    return size === 0 ? new CompactRange(this.#crypto).root() : null;
  }

  async #isSigned(note: UnverifiedNote): Promise<boolean> {
    if (this.#key !== null) return verifyNote(this.#crypto, note, this.#key);
    // Named by records whose MACs hold, so as trustworthy as the token.
    for (const line of this.#verifierKeys) {
      if (await verifyNote(this.#crypto, note, await parseVerifierKey(this.#crypto, line))) return true;
    }
    return false;
  }

  #fault(seq: number, segment: string | null, reason: AuditFault, offset: number | null = null): void {
    this.#bad = { seq, segment, offset, reason, message: faultMessage(reason, seq) };
  }

  #checkpointFault(reason: AuditFault, message: string): void {
    this.#bad = { seq: null, segment: null, offset: null, reason, message };
  }

  #notes(held: SignedCheckpoint | null): string[] {
    const notes: string[] = [];
    if (this.#options.token === undefined) {
      notes.push(
        'Without the token the MACs were not verified: a holder of the signing key can rewrite history.',
      );
      if (held !== null && this.#tree.end > held.size) {
        notes.push(
          `Nothing proves the ${this.#tree.end - held.size} records after the checkpoint without the token.`,
        );
      }
    }
    if (this.#external === null) {
      notes.push(
        'A tail removed together with its checkpoints is not detected: compare with a checkpoint from elsewhere.',
      );
    }
    if (this.#unfinished) notes.push('The last line was still being written.');
    return notes;
  }
}

function headOf({ size, root }: SignedCheckpoint): CheckedHead {
  return { size, root: toBase64(root) };
}
