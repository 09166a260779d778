/**
 * CUDA fat binaries as the toolkit's fatbinary writes them, built by hand: no binary is committed, and hostile ones can be
 * had.
 */

const MAGIC = 0xba55ed50;
const HEADER = 16;
const ENTRY_HEADER = 64;

export const PTX = 1;
export const ELF = 2;

export interface FatbinEntry {
  readonly kind: number;
  /** 75 for sm_75. */
  readonly architecture: number;
  readonly payload: Uint8Array;
  /** Not 0: the payload counts as compressed. */
  readonly compressedBytes?: number;
}

export function fatbin(entries: readonly FatbinEntry[]): Uint8Array {
  const content = entries.reduce((sum, { payload }) => sum + ENTRY_HEADER + payload.length, 0);
  const bytes = new Uint8Array(HEADER + content);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint16(4, 1, true);
  view.setUint16(6, HEADER, true);
  view.setBigUint64(8, BigInt(content), true);
  let at = HEADER;
  for (const { kind, architecture, payload, compressedBytes = 0 } of entries) {
    view.setUint16(at, kind, true);
    view.setUint16(at + 2, 0x101, true);
    view.setUint32(at + 4, ENTRY_HEADER, true);
    view.setBigUint64(at + 8, BigInt(payload.length), true);
    view.setUint32(at + 16, compressedBytes, true);
    view.setUint32(at + 28, architecture, true);
    view.setBigUint64(at + 40, 0x11n, true);
    bytes.set(payload, at + ENTRY_HEADER);
    at += ENTRY_HEADER + payload.length;
  }
  return bytes;
}

/** PTX as an entry: its text, a null character, and zeros up to a multiple of eight. */
export function ptxEntry(text: string, architecture = 75): FatbinEntry {
  const encoded = new TextEncoder().encode(text);
  const payload = new Uint8Array(Math.ceil((encoded.length + 1) / 8) * 8);
  payload.set(encoded);
  return { kind: PTX, architecture, payload };
}

/** Kinds and architectures of the entries, in order. */
export function entriesOf(bytes: Uint8Array): readonly (readonly [kind: number, architecture: number])[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found: (readonly [number, number])[] = [];
  for (let at = HEADER; at < bytes.length; ) {
    found.push([view.getUint16(at, true), view.getUint32(at + 28, true)]);
    at += view.getUint32(at + 4, true) + Number(view.getBigUint64(at + 8, true));
  }
  return found;
}

/** A copy with some of its fields overwritten. */
export function altered(bytes: Uint8Array, change: (view: DataView) => void): Uint8Array {
  const copy = bytes.slice();
  change(new DataView(copy.buffer));
  return copy;
}
