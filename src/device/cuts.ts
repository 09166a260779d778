import { checkInteger, invalidInput } from '../base/index.js';
import { BLOCK_BYTES } from '../digest/index.js';

/**
 * A checked copy of the offsets at which a region's buffers begin; null if the caller gave none. Copied because the
 * caller may change its array while memory is being allocated.
 *
 * Errors: INVALID_INPUT naming the cut.
 */
export function checkCuts(cuts: readonly number[] | undefined, byteLength: number): readonly number[] | null {
  if (cuts === undefined) return null;
  if (!Array.isArray(cuts) || cuts.length === 0) {
    throw invalidInput('cuts', 'must be an array of offsets, the first of them 0');
  }
  const checked: number[] = [];
  let least = 0;
  for (const [index, cut] of cuts.entries()) {
    const name = `cuts[${index}]`;
    checkInteger(name, cut, least, index === 0 ? 0 : byteLength - 1);
    if (cut % BLOCK_BYTES !== 0) throw invalidInput(name, `must be a multiple of ${BLOCK_BYTES}, got ${cut}`);
    checked.push(cut);
    least = cut + 1;
  }
  return checked;
}
