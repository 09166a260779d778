import type { Flip } from '../protocol.js';
import { count, grouped } from './format.js';

/** Which bits a drill flipped, in a sentence. */
export function flipText(flips: readonly Flip[]): string {
  const [first] = flips;
  if (flips.length !== 1 || first === undefined) {
    const blocks = new Set(flips.map(({ block }) => block)).size;
    return `They lie in ${count(blocks, 'block')}. Nothing has noticed: the model still answers.`;
  }
  const tensor = first.tensor === null ? '' : ` of ${first.tensor}`;
  const [byte, block] = [grouped(first.byte), grouped(first.block)];
  return `Bit ${first.bit} of byte ${byte}, in block ${block}${tensor}. Nothing has noticed: the model still answers.`;
}
