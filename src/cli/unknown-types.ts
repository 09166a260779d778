import type { TensorIndex } from '../models/index.js';

/** A note on tensors whose type has no known size; null where there are none. */
export function noteOnUnknownTypes(indexes: readonly TensorIndex[]): string | null {
  const types = new Set<string>();
  let count = 0;
  for (const tensors of indexes) {
    for (const { encoding, dtype } of tensors) {
      if (encoding !== 'unknown') continue;
      types.add(dtype);
      count += 1;
    }
  }
  if (count === 0) return null;
  const names = [...types].sort().join(', ');
  return (
    `${count} ${count === 1 ? 'tensor is' : 'tensors are'} of a type not known here (${names}): taken to reach ` +
    `up to the next tensor`
  );
}
