import { invalidInput } from '../../base/index.js';
import { type TensorSource, type TensorSourceOptions, tensorSource } from '../../models/index.js';
import type { SourceModel } from './source-model.js';

/** The engine binds whole buffers, and must not refuse a small tensor for the padding after it. */
const MIN_BYTES = 1;

/**
 * The same model as one shard of its tensors. Errors: INVALID_INPUT for a model whose tensors are not known, or that
 * has none.
 */
export function asTensors(model: SourceModel): SourceModel {
  const { label, byteLength } = tensorsOf(model);
  return { ...model, byteLength, shards: [{ label, byteLength, open: async () => tensorsOf(model) }] };
}

/** Errors: INVALID_INPUT. */
export function tensorsOf(
  { files }: SourceModel,
  only?: NonNullable<TensorSourceOptions['only']>,
): TensorSource {
  if (files === null) throw invalidInput('layout', 'can be "tensors" for a model from a path alone');
  return tensorSource(files, { only, minBytes: MIN_BYTES });
}
