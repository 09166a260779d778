import { toHex } from '../../base/index.js';
import type { CryptoProvider, Mac } from '../../crypto/index.js';
import {
  type AuditData,
  type AuditSeverity,
  type AuditType,
  CompactRange,
  type KeyRatchet,
  leafHash,
  logOrigin,
  MAC_BYTES,
  Scratch,
  type Segment,
  Slabs,
  unsignedLine,
} from '../format/index.js';

/** 100 MB, the size at which a segment ends. */
export const MAX_SEGMENT_BYTES = 100_000_000;
const ID_BYTES = 16;
/** Ids are cut from a larger draw, because a call for random bytes is expensive. */
const IDS_A_DRAW = 256;

/** The content of a record before the chain assigns its position. */
export interface RecordDraft {
  readonly type: AuditType;
  readonly severity: AuditSeverity;
  /** RFC 3339, UTC, milliseconds. */
  readonly ts: string;
  readonly correlationId: string | null;
  readonly traceparent: string | null;
  readonly data: AuditData;
}

/** A chained record. */
export interface ChainedLine {
  readonly seq: number;
  readonly segment: Segment;
  /** The line with its newline. */
  readonly bytes: Uint8Array;
}

/** The state from which a log continues: everything that the next record depends on. */
export interface ChainState {
  readonly workerId: string;
  readonly logId: string;
  /** In the epoch of the segment, or epoch 0 for an empty log. */
  readonly ratchet: KeyRatchet;
  /** mac of the last record, 32 bytes; zeros for an empty log. */
  readonly prev: Uint8Array;
  /** All records so far; its end is the next sequence number. */
  readonly tree: CompactRange;
  /** The segment that is being written, with its size, or null for an empty log. */
  readonly segment: { readonly start: Segment; readonly bytes: number } | null;
}

/** The start of a new log. */
export function emptyChain(
  crypto: CryptoProvider,
  workerId: string,
  logId: string,
  ratchet: KeyRatchet,
): ChainState {
  return {
    workerId,
    logId,
    ratchet,
    prev: new Uint8Array(MAC_BYTES),
    tree: new CompactRange(crypto),
    segment: null,
  };
}

/** Gives records their sequence number, epoch and MAC, one after the other, and grows the Merkle tree with them. */
export class Chain {
  readonly workerId: string;
  readonly logId: string;
  readonly #crypto: CryptoProvider;
  readonly #ratchet: KeyRatchet;
  readonly #tree: CompactRange;
  readonly #maxSegmentBytes: number;
  #prev: Uint8Array;
  #prevHex: string;
  #segment: Segment | null;
  #segmentBytes: number;
  #mac: Mac | null = null;
  #ids = new Uint8Array(0);
  #nextId = 0;
  readonly #scratch = new Scratch();
  readonly #slabs = new Slabs();

  constructor(crypto: CryptoProvider, state: ChainState, maxSegmentBytes = MAX_SEGMENT_BYTES) {
    this.workerId = state.workerId;
    this.logId = state.logId;
    this.#crypto = crypto;
    this.#ratchet = state.ratchet;
    this.#tree = state.tree;
    this.#prev = state.prev;
    this.#prevHex = toHex(state.prev);
    this.#segment = state.segment?.start ?? null;
    this.#segmentBytes = state.segment?.bytes ?? 0;
    this.#maxSegmentBytes = maxSegmentBytes;
  }

  get origin(): string {
    return logOrigin(this.workerId, this.logId);
  }

  /** Number of records. */
  get size(): number {
    return this.#tree.end;
  }

  root(): Promise<Uint8Array> {
    return this.#tree.root();
  }

  /** Not reentrant: callers must await each call. */
  async append(draft: RecordDraft): Promise<ChainedLine> {
    const seq = this.#tree.end;
    const id = this.#id();
    let segment = this.#segment;
    // Only a later day ends a segment; a clock that is set back does not.
    if (segment === null || draft.ts.slice(0, 10) > segment.date) segment = await this.#rotate(draft);
    let unsigned = this.#unsigned(draft, seq, id, segment);
    if (this.#segmentBytes > 0 && this.#segmentBytes + unsigned.lineBytes > this.#maxSegmentBytes) {
      segment = await this.#rotate(draft);
      unsigned = this.#unsigned(draft, seq, id, segment);
    }

    this.#mac ??= await this.#ratchet.mac();
    const mac = await this.#mac.sign(unsigned.macInput);
    const macHex = toHex(mac);
    const bytes = signedLine(unsigned, macHex, this.#slabs.take(unsigned.lineBytes));
    await this.#tree.append(await leafHash(this.#crypto, bytes.subarray(0, -1), this.#scratch));
    this.#prev = mac;
    this.#prevHex = macHex;
    this.#segmentBytes += bytes.length;
    return { seq, segment, bytes };
  }

  /** Zeroes the keys; nothing can be appended afterwards. */
  destroy(): void {
    this.#ratchet.destroy();
    this.#mac = null;
  }

  #unsigned(draft: RecordDraft, seq: number, id: string, { epoch }: Segment): Unsigned {
    const { head, tail } = unsignedLine({
      ...draft,
      v: 1,
      seq,
      id,
      epoch,
      workerId: this.workerId,
      prev: this.#prevHex,
    });
    // At most three bytes of UTF-8 for each UTF-16 unit.
    const room = this.#scratch.take(MAC_BYTES + 3 * (head.length + tail.length));
    room.set(this.#prev);
    const { written } = encoder.encodeInto(head + tail, room.subarray(MAC_BYTES));
    return {
      macInput: room.subarray(0, MAC_BYTES + written),
      tailBytes: tail.length,
      lineBytes: written + MAC_MEMBER_BYTES + 1,
    };
  }

  async #rotate(draft: RecordDraft): Promise<Segment> {
    const epoch = this.#segment === null ? 0 : this.#segment.epoch + 1;
    await this.#ratchet.advanceTo(epoch);
    this.#mac = null;
    this.#segment = {
      epoch,
      firstSeq: this.#tree.end,
      date: draft.ts.slice(0, 10),
      prev: this.#prev,
      frontier: this.#tree.hashes,
    };
    this.#segmentBytes = 0;
    return this.#segment;
  }

  #id(): string {
    if (this.#nextId >= this.#ids.length) {
      this.#ids = new Uint8Array(this.#crypto.randomBytes(ID_BYTES * IDS_A_DRAW));
      this.#nextId = 0;
    }
    const id = this.#ids.subarray(this.#nextId, this.#nextId + ID_BYTES);
    this.#nextId += ID_BYTES;
    return toHex(id);
  }
}

/** prev and the line without its mac: the MAC's input. Valid until the next record. */
interface Unsigned {
  readonly macInput: Uint8Array;
  /** The line after its mac, all ASCII. */
  readonly tailBytes: number;
  /** With mac and newline. */
  readonly lineBytes: number;
}

const encoder = new TextEncoder();
const MAC_MEMBER_BYTES = '"mac":"",'.length + 2 * MAC_BYTES;
const NEWLINE = 0x0a;

function signedLine({ macInput, tailBytes }: Unsigned, macHex: string, bytes: Uint8Array): Uint8Array {
  const macStart = macInput.length - MAC_BYTES - tailBytes;
  bytes.set(macInput.subarray(MAC_BYTES, MAC_BYTES + macStart));
  encoder.encodeInto(`"mac":"${macHex}",`, bytes.subarray(macStart));
  bytes.set(macInput.subarray(MAC_BYTES + macStart), macStart + MAC_MEMBER_BYTES);
  bytes[bytes.length - 1] = NEWLINE;
  return bytes;
}
