import { ONNX_TYPES, type RandomAccess, type Refuse, type TensorEntry } from '../../../models/index.js';
import { elementTypeOf, type GraphPlan, type MovingTensor } from './plan.js';
import { bytesField, fieldStart, integerField } from './protobuf-writer.js';
import type { ByteSpan } from './survey.js';

/** Reads `length` bytes at `offset` of an external file, named as the model names it. */
export type ReadExternal = (path: string, offset: number, length: number) => Promise<Uint8Array>;

/** The engine copies the graph into its own memory, of which 32-bit WebAssembly has 4 GiB. */
const MAX_GRAPH_BYTES = 512 * 1024 * 1024;
const CHUNK_BYTES = 1024 * 1024;
const GRAPH_FIELD = 7;

/** A part of the new graph: bytes of the old file, or new ones. */
type Piece = ByteSpan | Uint8Array;

/**
 * The model without the weights that move: these are inputs of the graph instead. External tensors that stay are copied
 * into the graph, so that it needs no other file.
 *
 * Errors: INVALID_INPUT by `refuse` for a graph of more than 512 MiB, and what `access` and `readExternal` throw.
 */
export async function rewriteGraph(
  access: RandomAccess,
  { layout, moving }: GraphPlan,
  readExternal: ReadExternal,
  refuse: Refuse,
): Promise<Uint8Array> {
  const { survey, leaving, inlined } = layout;
  const edits: { span: ByteSpan; replacement: Uint8Array | null }[] = leaving.map((span) => ({
    span,
    replacement: null,
  }));
  let inlinedBytes = 0;
  for (const { span, path, tensor } of inlined) {
    inlinedBytes += tensor.byteLength;
    if (inlinedBytes > MAX_GRAPH_BYTES) throw tooLarge(refuse);
    const bytes = await readExternal(path, tensor.byteOffset, tensor.byteLength);
    edits.push({ span, replacement: bytesField(5, inlineTensor(tensor, bytes)) });
  }
  edits.sort((a, b) => a.span.start - b.span.start);
  const content: Piece[] = [];
  let at = survey.content.start;
  for (const { span, replacement } of edits) {
    content.push({ start: at, end: span.start });
    if (replacement !== null) content.push(replacement);
    at = span.end;
  }
  content.push({ start: at, end: survey.content.end });
  for (const tensor of moving) {
    if (survey.uses.get(tensor.name)?.isInput !== true) content.push(graphInput(tensor));
  }
  return await assemble(
    access,
    [
      { start: 0, end: survey.field.start },
      fieldStart(GRAPH_FIELD, lengthOf(content)),
      ...content,
      { start: survey.field.end, end: access.byteLength },
    ],
    refuse,
  );
}

/**
 * GraphProto.input = 11; ValueInfoProto: name = 1, type = 2; tensor_type = 1; elem_type = 1, shape = 2; dim = 1; dim_value =
 * 1.
 */
function graphInput({ name, dtype, shape }: MovingTensor): Uint8Array {
  const dims = shape.map((size) => bytesField(1, [integerField(1, size)]));
  const tensorType = [integerField(1, elementTypeOf(dtype)), bytesField(2, dims)];
  return bytesField(11, [bytesField(1, name), bytesField(2, [bytesField(1, tensorType)])]);
}

/** TensorProto: dims = 1, data_type = 2, name = 8, raw_data = 9. */
function inlineTensor({ name, dtype, shape }: TensorEntry, bytes: Uint8Array): readonly Uint8Array[] {
  const type = [...ONNX_TYPES].find(([, each]) => each.name === dtype)?.[0] ?? 0;
  return [
    ...shape.map((size) => integerField(1, size)),
    integerField(2, type),
    bytesField(8, name),
    bytesField(9, bytes),
  ];
}

async function assemble(access: RandomAccess, pieces: readonly Piece[], refuse: Refuse): Promise<Uint8Array> {
  const byteLength = lengthOf(pieces);
  if (byteLength > MAX_GRAPH_BYTES) throw tooLarge(refuse);
  const graph = new Uint8Array(byteLength);
  let at = 0;
  for (const piece of pieces) {
    if (piece instanceof Uint8Array) {
      graph.set(piece, at);
      at += piece.length;
      continue;
    }
    for (let offset = piece.start; offset < piece.end; offset += CHUNK_BYTES) {
      const chunk = await access.read(offset, Math.min(CHUNK_BYTES, piece.end - offset));
      graph.set(chunk, at);
      at += chunk.length;
    }
  }
  return graph;
}

function lengthOf(pieces: readonly Piece[]): number {
  return pieces.reduce(
    (sum, piece) => sum + (piece instanceof Uint8Array ? piece.length : piece.end - piece.start),
    0,
  );
}

function tooLarge(refuse: Refuse): Error {
  return refuse(`keeps more than ${MAX_GRAPH_BYTES} bytes in its graph, which the engine cannot hold`);
}
