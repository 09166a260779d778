import type { TensorPlace } from '../protocol.js';

/** The index of the first tensor that has one of these blocks, or -1. Tensors are in the order of their bytes. */
export function findTensor(tensors: readonly TensorPlace[], block: number, blocks: number): number {
  let [low, high] = [0, tensors.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    const one = tensors[middle];
    if (one !== undefined && one.firstBlock + one.blocks <= block) low = middle + 1;
    else high = middle;
  }
  const found = tensors[low];
  return found !== undefined && found.firstBlock < block + blocks ? low : -1;
}
