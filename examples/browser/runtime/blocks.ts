import type { TensorPlace } from '../protocol.js';

export const BLOCK_BYTES = 4_096;

interface Placed {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly byteLength: number;
}

export function placeOf({ name, dtype, shape, offset, byteLength }: Placed): TensorPlace {
  const firstBlock = Math.floor(offset / BLOCK_BYTES);
  const end = Math.ceil((offset + byteLength) / BLOCK_BYTES);
  return { name, dtype, shape: [...shape], byteLength, firstBlock, blocks: end - firstBlock };
}
