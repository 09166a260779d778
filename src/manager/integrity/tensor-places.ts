import type { DamagedRange } from '../../base/index.js';
import { BLOCK_BYTES } from '../../digest/index.js';
import { type PackedTensor, quoted, type TensorManifest, tensorIndexAt } from '../../models/index.js';

/** The most names listed in one sentence. */
const SHOWN = 3;

/** Where a byte of packed tensors lies; without keys for a shard that is not a sequence of tensors. */
export interface TensorPlace {
  /** The first of the tensors that share a place. */
  readonly tensor?: string;
  /** Bytes from that tensor's first byte. */
  readonly byteInTensor?: number;
  /** Whether the byte is one of the zeros behind that tensor's last byte. */
  readonly padding?: boolean;
}

export function tensorPlace(manifest: TensorManifest | null, byte: number): TensorPlace {
  const tensor = manifest?.tensors[tensorIndexAt(manifest, byte)];
  if (tensor === undefined) return {};
  const byteInTensor = byte - tensor.offset;
  return { tensor: tensor.name, byteInTensor, padding: byteInTensor >= tensor.byteLength };
}

/**
 * The ranges cut where tensors begin, each with its tensor's name; unchanged for a shard that is not a sequence of
 * tensors.
 */
export function nameTensors(
  ranges: readonly DamagedRange[],
  manifest: TensorManifest | null,
): DamagedRange[] {
  if (manifest === null) return [...ranges];
  return ranges.flatMap((range) => splitByTensor(range, manifest));
}

function splitByTensor(range: DamagedRange, manifest: TensorManifest): DamagedRange[] {
  const parts: DamagedRange[] = [];
  const end = range.byteOffset + range.byteLength;
  let index = tensorIndexAt(manifest, range.byteOffset);
  for (let start = range.byteOffset; start < end; ) {
    const tensor = manifest.tensors[index];
    if (tensor === undefined) throw new TypeError("unreachable: every block of a packed shard is a tensor's");
    index = behind(manifest, index);
    const stop = Math.min(manifest.tensors[index]?.offset ?? end, end);
    parts.push(partOf(tensor, start, stop));
    start = stop;
  }
  return parts;
}

/** Index of the first tensor that begins after this one. */
function behind({ tensors }: TensorManifest, index: number): number {
  const { offset } = tensors[index] ?? {};
  let next = index + 1;
  while (tensors[next]?.offset === offset && next < tensors.length) next += 1;
  return next;
}

function partOf({ name, offset }: PackedTensor, start: number, stop: number): DamagedRange {
  return {
    firstBlock: start / BLOCK_BYTES,
    blocks: Math.ceil((stop - start) / BLOCK_BYTES),
    byteOffset: start,
    byteLength: stop - start,
    tensor: name,
    byteInTensor: start - offset,
  };
}

/** ` in the tensor "a"`, ` in the tensors "a", "b", "c" and 4 more`; empty where the ranges name none. */
export function describeTensors(ranges: readonly DamagedRange[]): string {
  const names = [...new Set(ranges.flatMap(({ tensor }) => (tensor === undefined ? [] : [tensor])))];
  if (names.length === 0) return '';
  const shown = names.slice(0, SHOWN).map(quoted).join(', ');
  const rest = names.length - SHOWN;
  return ` in the tensor${names.length === 1 ? '' : 's'} ${shown}${rest > 0 ? ` and ${rest} more` : ''}`;
}
