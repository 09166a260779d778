import type { BlockRange, TensorPlace } from '../protocol.js';
import { count, grouped } from './format.js';
import { findTensor } from './tensor-at.js';

const MOST_NAMED = 3;

/** Where the damage is, in a sentence: the first few blocks with their tensors, and how many more there are. */
export function damageText(damaged: readonly BlockRange[], tensors: readonly TensorPlace[]): string {
  const named = damaged.slice(0, MOST_NAMED).map((range) => {
    const tensor = tensors[findTensor(tensors, range.firstBlock, range.blocks)];
    return `${blocksText(range)}${tensor === undefined ? '' : ` of ${tensor.name}`}`;
  });
  const left = damaged.slice(MOST_NAMED).reduce((sum, { blocks }) => sum + blocks, 0);
  const list = [...named, ...(left === 0 ? [] : [`${count(left, 'block')} more`])].join('; ');
  return `${list.charAt(0).toUpperCase()}${list.slice(1)}.`;
}

export function blocksText({ firstBlock, blocks }: BlockRange): string {
  const first = grouped(firstBlock);
  return blocks === 1 ? `block ${first}` : `blocks ${first} to ${grouped(firstBlock + blocks - 1)}`;
}
