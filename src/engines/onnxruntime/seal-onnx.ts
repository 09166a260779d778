import { invalidInput } from '../../base/index.js';
import type { SealOptions, VramManager } from '../../manager/index.js';
import {
  readOnnx,
  refusalOf,
  type TensorManifest,
  type TensorModel,
  type TensorSource,
  tensorSource,
} from '../../models/index.js';
import type { SealedShard } from '../../seal/index.js';
import { type RangedSource, requireRanges, type Source } from '../../source/index.js';
import {
  type GraphPlan,
  type MovingTensor,
  planGraph,
  rewriteGraph,
  type StayingTensor,
} from './graph/index.js';
import { ModelReads } from './model-reads.js';

/** A model with a smaller share of its bytes in sealed memory gets a `note`. */
const FULL_SHARE = 0.9;

/** The results of sealOnnx(): only these are backed by sealed weights. */
const made = new WeakSet<object>();

/** An ONNX model whose weights lie in sealed memory. What createSession() takes. */
export interface SealedOnnx {
  readonly manager: VramManager;
  /** The weights. Released like every shard: `manager.release(sealed.shard)`. */
  readonly shard: SealedShard;
  /** The model without them: each is an input of the graph instead. */
  readonly graph: Uint8Array;
  readonly manifest: TensorManifest;
  /**
   * The source of the weights, from which `manager.heal(sealed.shard, sealed.source)` heals. Close it when it is no
   * longer needed.
   */
  readonly source: TensorSource;
  /** Tensors in sealed memory, by their names in the graph. */
  readonly moved: readonly MovingTensor[];
  /** Tensors that stay in the graph, where they are not verified, with the reason for each. */
  readonly staying: readonly StayingTensor[];
  /** Bytes of the moved tensors, and of the staying ones. */
  readonly movedBytes: number;
  readonly stayingBytes: number;
  /** States how much is not in sealed memory if that is more than a tenth of the model's bytes; else null. */
  readonly note: string | null;
}

/**
 * Moves the weights of an ONNX model into sealed memory, each in its own buffer, and keeps the graph without them.
 * `model` is a result of openModel(), with the ONNX file first and its external files after it, or the source of a file
 * without external ones. The weights are streamed; only what stays in the graph is held in host memory.
 *
 * Errors: INVALID_INPUT (no ONNX model, no weight that can move, a manager whose device is not a WebGPU one), and those of
 * seal().
 */
export async function sealOnnx(
  manager: VramManager,
  model: TensorModel | Source,
  options: SealOptions = {},
): Promise<SealedOnnx> {
  const { backend } = manager.device;
  if (backend !== 'webgpu') {
    throw invalidInput(
      'manager',
      `holds its shards on ${backend}: an engine needs a GPU device, opened through WebGPU`,
    );
  }
  const reads = new ModelReads(options.signal);
  const files = isSource(model) ? await modelOf(model, reads) : model;
  const { plan, graph } = await splitModel(files, reads);
  const moving = new Set(plan.moving.map(({ name }) => name));
  // The engine binds whole buffers, so no two tensors may share one, however small they are.
  const source = tensorSource(files, { only: ({ name }) => moving.has(name), minBytes: 1 });
  try {
    const shard = await manager.seal(source, options);
    const sealed: SealedOnnx = Object.freeze({
      manager,
      shard,
      graph,
      manifest: source.manifest,
      source,
      moved: plan.moving,
      staying: plan.staying,
      movedBytes: plan.movingBytes,
      stayingBytes: plan.stayingBytes,
      note: noteOn(plan),
    });
    made.add(sealed);
    return sealed;
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** Errors: INVALID_INPUT. */
export function checkSealedOnnx(sealed: SealedOnnx): void {
  if (typeof sealed === 'object' && sealed !== null && made.has(sealed)) return;
  throw invalidInput('sealed', 'must be what sealOnnx() returned');
}

function noteOn({ movingBytes, stayingBytes, staying }: GraphPlan): string | null {
  const share = movingBytes / (movingBytes + stayingBytes);
  if (share >= FULL_SHARE) return null;
  const percent = Math.floor(share * 100);
  return (
    `only ${percent} % of the model's bytes are in sealed memory: ${staying.length} tensors, ${stayingBytes} ` +
    `bytes, stay in the graph`
  );
}

/**
 * The plan of the model's graph, and the graph without the moved weights. The ONNX file stays open meanwhile; an
 * external file is opened for each read.
 */
async function splitModel(
  model: TensorModel,
  reads: ModelReads,
): Promise<{ plan: GraphPlan; graph: Uint8Array }> {
  const [onnx] = model?.shards ?? [];
  if (onnx === undefined)
    throw invalidInput('model', 'must be a source, or a model with shards: see openModel');
  const refuse = refusalOf(onnx.label);
  return await reads.withFile(onnx, async (access) => {
    const plan = await planGraph(access, onnx.label);
    const readExternal = async (path: string, offset: number, length: number): Promise<Uint8Array> => {
      const file = model.shards.find(({ label }) => label === path);
      if (file === undefined)
        throw refuse(`keeps weights in the file "${path}", which the model does not have`);
      return await reads.withFile(file, ({ read }) => read(offset, length));
    };
    return { plan, graph: await rewriteGraph(access, plan, readExternal, refuse) };
  });
}

function isSource(model: TensorModel | Source): model is Source {
  return typeof model === 'object' && model !== null && 'stream' in model;
}

/** A model of one file. */
async function modelOf(source: Source, reads: ModelReads): Promise<TensorModel> {
  const { tensors, external } = await readOnnx(reads.access(source), source.label);
  if (external.length > 0) {
    throw invalidInput(
      'model',
      'keeps weights in other files: give the model with all of them, as openModel() does',
    );
  }
  const { label, byteLength } = source;
  return { shards: [{ label, byteLength, tensors, open: async () => lent(requireRanges(source)) }] };
}

/** The caller's source, which stays open when its borrower closes it. */
function lent(source: RangedSource): Source {
  const { label, byteLength } = source;
  return {
    label,
    byteLength,
    stream: (options) => source.stream(options),
    readRange: (offset, length, options) => source.readRange(offset, length, options),
    unchanged: (options) => source.unchanged(options),
    close: async () => undefined,
  };
}
