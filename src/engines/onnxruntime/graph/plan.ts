import { invalidInput } from '../../../base/index.js';
import { quoted, type RandomAccess, readOnnx, refusalOf, type TensorEntry } from '../../../models/index.js';
import { readsOnGpu } from './operands.js';
import { type ByteSpan, type GraphSurvey, surveyGraph, type TensorUse } from './survey.js';

/** Why a tensor stays in the graph. */
export type StayReason =
  /** Under 64 bytes. */
  | 'small'
  /** The engine has no GPU buffers of this type. */
  | 'type'
  /** Stored as protobuf values, not as raw bytes. */
  | 'encoding'
  /** Read or defined by a graph inside a node, a function or training information, or an attribute. */
  | 'inside'
  /** Read by an operator that is not known to read it from GPU memory. */
  | 'operator'
  /** An output of the graph. */
  | 'output'
  /** Not read by any node. */
  | 'unused';

/** A tensor that stays in the graph, which the engine keeps in its own memory. */
export interface StayingTensor {
  readonly name: string;
  /** In ONNX's terms: `INT64`. */
  readonly dtype: string;
  /** In the model's file, or in its external one. */
  readonly byteLength: number;
  readonly reason: StayReason;
  /** A readable reason: `is read by Reshape as input 1, ...`. */
  readonly detail: string;
}

/** A tensor whose bytes leave the graph and become an input of it. */
export interface MovingTensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly byteLength: number;
}

export interface GraphPlan {
  readonly moving: readonly MovingTensor[];
  readonly staying: readonly StayingTensor[];
  readonly movingBytes: number;
  readonly stayingBytes: number;
  /** For rewriteGraph(). */
  readonly layout: GraphLayout;
}

/** Positions in the file. */
export interface GraphLayout {
  readonly survey: GraphSurvey;
  /** Fields that leave the graph. */
  readonly leaving: readonly ByteSpan[];
  /** External tensors that stay and are therefore copied into the graph. */
  readonly inlined: readonly {
    readonly span: ByteSpan;
    readonly path: string;
    readonly tensor: TensorEntry;
  }[];
}

/** The engine requires buffers of at least 16 bytes, and below 64 a buffer of 4096 bytes is not worthwhile. */
const MIN_MOVING_BYTES = 64;

/** Element types of movable weights, by ONNX's name, with their protobuf numbers. */
const MOVING_TYPES: ReadonlyMap<string, number> = new Map([
  ['FLOAT', 1],
  ['UINT8', 2],
  ['FLOAT16', 10],
]);

/**
 * Decides which weights of an ONNX model can lie outside its graph, and gives a reason for each of the others. A weight
 * can move if it is a constant of the main graph that every reader reads from GPU memory, of a type that the engine has
 * GPU buffers for.
 *
 * Errors: INVALID_INPUT, naming `what`: no ONNX model, or one without a weight that can move.
 */
export async function planGraph(access: RandomAccess, what = 'model'): Promise<GraphPlan> {
  const refuse = refusalOf(what);
  const { tensors, external } = await readOnnx(access, what);
  const paths = new Map(external.map(({ path, tensor }) => [tensor.name, path]));
  const all = [...tensors, ...external.map(({ tensor }) => tensor)];
  const known = new Set(all.map(({ name }) => name));
  const survey = await surveyGraph(access, known, readsOnGpu, refuse);
  const moving: MovingTensor[] = [];
  const staying: StayingTensor[] = [];
  const leaving: ByteSpan[] = [];
  const inlined: { span: ByteSpan; path: string; tensor: TensorEntry }[] = [];
  for (const tensor of all) {
    const { name, dtype, shape, byteLength } = tensor;
    const span = survey.initializers.get(name) ?? survey.constants.get(name);
    const stays = whyItStays(tensor, span, survey.uses.get(name));
    if (span !== undefined && stays === null) {
      moving.push({ name, dtype, shape, byteLength });
      leaving.push(span);
      continue;
    }
    staying.push({
      name,
      dtype,
      byteLength,
      ...(stays ?? { reason: 'inside', detail: 'has no field of its own' }),
    });
    const path = paths.get(name);
    if (path === undefined) continue;
    if (span === undefined || !survey.initializers.has(name)) {
      throw refuse(
        `keeps ${quoted(name)} outside the file, though it is not an initializer of the main graph`,
      );
    }
    inlined.push({ span, path, tensor });
  }
  if (moving.length === 0) throw refuse(noneMoves(staying));
  return {
    moving,
    staying,
    movingBytes: bytesOf(moving),
    stayingBytes: bytesOf(staying),
    layout: { survey, leaving, inlined },
  };
}

type Stay = Pick<StayingTensor, 'reason' | 'detail'>;

/** Null for a tensor that can move. */
function whyItStays(
  { dtype, byteLength, encoding }: TensorEntry,
  span: ByteSpan | undefined,
  use: TensorUse | undefined,
): Stay | null {
  if (span === undefined || use === undefined) {
    return { reason: 'inside', detail: 'is not an initializer or Constant of the main graph' };
  }
  if (use.captured) return { reason: 'inside', detail: 'is read inside a node' };
  if (use.isOutput) return { reason: 'output', detail: 'is an output of the graph' };
  if (!use.used) return { reason: 'unused', detail: 'is read by no node' };
  if (byteLength < MIN_MOVING_BYTES) {
    return { reason: 'small', detail: `has fewer than ${MIN_MOVING_BYTES} bytes` };
  }
  if (!MOVING_TYPES.has(dtype))
    return { reason: 'type', detail: `is of type ${dtype}, which the engine keeps on the CPU` };
  if (encoding !== 'raw')
    return { reason: 'encoding', detail: 'is stored as protobuf values, not as raw bytes' };
  if (use.obstacle !== null) {
    const { operator, input } = use.obstacle;
    const detail = `is read by ${operator} as input ${input}, which is not known to be read from GPU memory`;
    return { reason: 'operator', detail };
  }
  return null;
}

function noneMoves(staying: readonly StayingTensor[]): string {
  const [first] = [...staying].sort((a, b) => b.byteLength - a.byteLength);
  if (first === undefined) return 'has no weights';
  return `has no weights that can move into sealed memory; the largest, ${quoted(first.name)}, ${first.detail}`;
}

function bytesOf(tensors: readonly { readonly byteLength: number }[]): number {
  return tensors.reduce((sum, { byteLength }) => sum + byteLength, 0);
}

/** The protobuf number of a movable type. */
export function elementTypeOf(dtype: string): number {
  const number = MOVING_TYPES.get(dtype);
  if (number === undefined) throw invalidInput('dtype', `is ${dtype}, which no tensor moves with`);
  return number;
}
