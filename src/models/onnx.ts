import { ByteCursor } from './byte-cursor.js';
import { type OnnxTensor, OnnxTensorReader } from './onnx-tensor.js';
import { LENGTH_DELIMITED, ProtobufReader, VARINT } from './protobuf.js';
import type { RandomAccess } from './random-access.js';
import { type Refuse, refusalOf, tensorCalled } from './refusal.js';
import {
  inByteOrder,
  TENSOR_LIMITS,
  type TensorEntry,
  type TensorIndex,
  TensorIndexBuilder,
} from './tensors.js';

const MAX_GRAPH_DEPTH = 16;
const MAX_FILES = 4096;

/** A tensor in another file of the model's folder. */
export interface ExternalTensor {
  /** Relative to the model's folder, `/` between its parts; holds no `..`. */
  readonly path: string;
  /** Offsets count from the start of that file, which has not been read. */
  readonly tensor: TensorEntry;
}

/** Where the tensors of an ONNX model lie. */
export interface OnnxIndex {
  /** In this file. */
  readonly tensors: TensorIndex;
  readonly external: readonly ExternalTensor[];
}

/**
 * The tensors of one ONNX model: initialisers (sparse ones too) and tensors in attributes of nodes, such as the value of a
 * Constant, in the graph, in the graphs inside its nodes, in functions and training information. Values are skipped.
 *
 * An initialiser has its own name; a Constant's value that of its output; another attribute's tensor
 * `<output>.<attribute>`. In a graph inside a node the names follow `<output of that node>.<attribute>/`.
 *
 * Errors: INVALID_INPUT, naming `what`.
 */
export async function readOnnx(access: RandomAccess, what = 'file'): Promise<OnnxIndex> {
  const refuse = refusalOf(what);
  if (access.byteLength === 0) throw refuse('is empty');
  const found = await new OnnxReader(access, refuse).read();
  const all = new TensorIndexBuilder(refuse);
  const external: ExternalTensor[] = [];
  const paths = new Map<string, string>();
  for (const tensor of found) {
    all.add(tensor);
    if (tensor.external === undefined) continue;
    const path = paths.get(tensor.external.path) ?? tensor.external.path;
    paths.set(path, path);
    if (paths.size > MAX_FILES) throw refuse(`names more than ${MAX_FILES} external files`);
    const { external: _, ...entry } = tensor;
    external.push({ path, tensor: entry });
  }
  const outside = new Set(external.map(({ tensor }) => tensor.name));
  return { tensors: all.finish().filter(({ name }) => !outside.has(name)), external };
}

/**
 * The tensors that lie in one external file, which has `byteLength` bytes. Two tensors may share one range, but not overlap
 * otherwise.
 * Errors: INVALID_INPUT, naming `what`.
 */
export function placeExternalTensors(
  tensors: readonly TensorEntry[],
  byteLength: number,
  what = 'file',
): TensorIndex {
  const refuse = refusalOf(what);
  const sorted = inByteOrder([...tensors]);
  let previous: TensorEntry | undefined;
  for (const tensor of sorted) {
    const { name, byteOffset } = tensor;
    if (byteOffset + tensor.byteLength > byteLength) throw refuse(`is too short for ${tensorCalled(name)}`);
    if (previous !== undefined && byteOffset < previous.byteOffset + previous.byteLength) {
      const same = byteOffset === previous.byteOffset && tensor.byteLength === previous.byteLength;
      if (!same) throw refuse(`has ${tensorCalled(name)} over part of another`);
    }
    previous = tensor;
  }
  return sorted;
}

class OnnxReader {
  readonly #access: RandomAccess;
  readonly #refuse: Refuse;
  readonly #fields: ProtobufReader;
  readonly #tensors: OnnxTensorReader;
  #count = 0;
  #unnamedNodes = 0;
  #nameBytes = 0;

  constructor(access: RandomAccess, refuse: Refuse) {
    this.#access = access;
    this.#refuse = refuse;
    this.#fields = new ProtobufReader(new ByteCursor(access, 0, refuse), refuse);
    this.#tensors = new OnnxTensorReader(this.#fields, refuse);
  }

  /** ModelProto: ir_version = 1, graph = 7, training_info = 20, functions = 25. */
  async read(): Promise<OnnxTensor[]> {
    const found: OnnxTensor[] = [];
    let graphs = 0;
    let versions = 0;
    let functions = 0;
    let trainings = 0;
    await this.#message(this.#access.byteLength, (number) => {
      switch (number) {
        case 1:
          this.#fields.expect(VARINT, 'an ir_version');
          versions += 1;
          return undefined;
        case 7:
          if (graphs > 0) throw this.#refuse('has two graphs');
          graphs += 1;
          return this.#collect(found, '', this.#graph(this.#submessage('a graph'), 1));
        case 20:
          trainings += 1;
          return this.#collect(found, `training_info.${trainings - 1}/`, this.#trainingInfo());
        case 25:
          functions += 1;
          return this.#collect(found, `function.${functions - 1}/`, this.#function());
        default:
          return this.#fields.skip();
      }
    });
    if (versions !== 1) throw this.#refuse('is not an ONNX model: it has no ir_version, or several');
    if (graphs === 0) throw this.#refuse('has no graph');
    return found;
  }

  /** GraphProto: node = 1, initializer = 5, sparse_initializer = 15. */
  async #graph(end: number, depth: number): Promise<OnnxTensor[]> {
    if (depth > MAX_GRAPH_DEPTH)
      throw this.#refuse(`has graphs nested deeper than ${MAX_GRAPH_DEPTH} levels`);
    const found: OnnxTensor[] = [];
    await this.#message(end, (number) => {
      if (number === 1) return this.#collect(found, '', this.#node(this.#submessage('a node'), depth));
      if (number === 5) return this.#collect(found, '', this.#tensor(this.#submessage('an initializer'), ''));
      if (number === 15) return this.#collect(found, '', this.#sparseTensor(true));
      return this.#fields.skip();
    });
    return found;
  }

  /** TrainingInfoProto: initialization = 1, algorithm = 2. */
  async #trainingInfo(): Promise<OnnxTensor[]> {
    const found: OnnxTensor[] = [];
    await this.#message(this.#submessage('training_info'), (number) => {
      if (number !== 1 && number !== 2) return this.#fields.skip();
      const prefix = number === 1 ? 'initialization/' : 'algorithm/';
      return this.#collect(found, prefix, this.#graph(this.#submessage('a graph'), 2));
    });
    return found;
  }

  /** FunctionProto: node = 7, attribute_proto = 11. */
  async #function(): Promise<OnnxTensor[]> {
    const found: OnnxTensor[] = [];
    await this.#message(this.#submessage('a function'), (number) => {
      if (number === 7) return this.#collect(found, '', this.#node(this.#submessage('a node'), 2));
      if (number === 11)
        return this.#collect(found, '', this.#attribute(this.#submessage('an attribute'), 2));
      return this.#fields.skip();
    });
    return found;
  }

  /** NodeProto: output = 2, name = 3, attribute = 5. */
  async #node(end: number, depth: number): Promise<OnnxTensor[]> {
    const found: OnnxTensor[] = [];
    let output: string | undefined;
    let name = '';
    await this.#message(end, (number) => {
      // An output that a node omits has an empty name.
      if (number === 2 && !output) {
        return this.#text('an output name', (text) => {
          output = text;
        });
      }
      if (number === 3) {
        return this.#text('a node name', (text) => {
          name = text;
        });
      }
      if (number === 5)
        return this.#collect(found, '', this.#attribute(this.#submessage('an attribute'), depth));
      return this.#fields.skip();
    });
    if (found.length === 0) return found;
    return this.#prefixed(output || name || `node.${this.#unnamedNodes++}`, found);
  }

  /**
   * AttributeProto: name = 1, t = 5, g = 6, tensors = 10, graphs = 11, sparse_tensor = 22, sparse_tensors = 23. The
   * names given here follow the node's: nothing for a single tensor called `value`, else `.<attribute>`.
   */
  async #attribute(end: number, depth: number): Promise<OnnxTensor[]> {
    const single: OnnxTensor[] = [];
    const others: OnnxTensor[] = [];
    let name = '';
    let tensors = 0;
    let graphs = 0;
    await this.#message(end, (number) => {
      switch (number) {
        case 1:
          return this.#text('an attribute name', (text) => {
            name = text;
          });
        case 5:
          return this.#collect(single, '', this.#unnamedTensor());
        case 22:
          return this.#collect(single, '', this.#sparseTensor(false));
        case 6:
          return this.#collect(others, '/', this.#graph(this.#submessage('a graph'), depth + 1));
        case 10:
          tensors += 1;
          return this.#collect(others, `.${tensors - 1}`, this.#unnamedTensor());
        case 23:
          tensors += 1;
          return this.#collect(others, `.${tensors - 1}`, this.#sparseTensor(false));
        case 11:
          graphs += 1;
          return this.#collect(
            others,
            `.${graphs - 1}/`,
            this.#graph(this.#submessage('a graph'), depth + 1),
          );
        default:
          return this.#fields.skip();
      }
    });
    const suffix = `.${name}`;
    return [...this.#prefixed(name === 'value' ? '' : suffix, single), ...this.#prefixed(suffix, others)];
  }

  /** SparseTensorProto: values = 1, indices = 2. That of an initializer is named by its values, another by its place. */
  async #sparseTensor(named: boolean): Promise<OnnxTensor[]> {
    const values: OnnxTensor[] = [];
    const indices: OnnxTensor[] = [];
    await this.#message(this.#submessage('a sparse tensor'), (number) => {
      if (number === 1) {
        const tensor = named ? this.#tensor(this.#submessage('sparse values'), '') : this.#unnamedTensor();
        return this.#collect(values, '', tensor);
      }
      if (number === 2) return this.#collect(indices, '.indices', this.#unnamedTensor());
      return this.#fields.skip();
    });
    return [...values, ...this.#prefixed(values[0]?.name ?? '', indices)];
  }

  /** A tensor that is named by its place, not by its own name. */
  async #unnamedTensor(): Promise<OnnxTensor[]> {
    const [tensor] = await this.#tensor(this.#submessage('a tensor'), 'value');
    return tensor === undefined ? [] : [{ ...tensor, name: '' }];
  }

  async #tensor(end: number, fallback: string): Promise<OnnxTensor[]> {
    const tensor = await this.#tensors.read(end, fallback);
    this.#count += 1;
    if (this.#count > TENSOR_LIMITS.tensors)
      throw this.#refuse(`has more than ${TENSOR_LIMITS.tensors} tensors`);
    this.#countName(tensor.name.length);
    return [tensor];
  }

  async #collect(into: OnnxTensor[], prefix: string, tensors: Promise<OnnxTensor[]>): Promise<void> {
    for (const tensor of this.#prefixed(prefix, await tensors)) into.push(tensor);
  }

  /** Each use of a prefix counts towards the bound, so that nesting cannot multiply names. */
  #prefixed(prefix: string, tensors: OnnxTensor[]): OnnxTensor[] {
    if (prefix === '') return tensors;
    return tensors.map((tensor) => {
      const name = prefix + tensor.name;
      this.#countName(name.length);
      return { ...tensor, name };
    });
  }

  async #text(what: string, keep: (text: string) => void): Promise<void> {
    keep(await this.#fields.text(TENSOR_LIMITS.nameBytes, what));
  }

  #countName(length: number): void {
    if (length > TENSOR_LIMITS.nameBytes) {
      throw this.#refuse(`has a tensor name of more than ${TENSOR_LIMITS.nameBytes} bytes`);
    }
    this.#nameBytes += length;
    if (this.#nameBytes > TENSOR_LIMITS.allNameBytes) {
      throw this.#refuse(`has more than ${TENSOR_LIMITS.allNameBytes} bytes of tensor names`);
    }
  }

  /** Calls `field` for each field of the message that ends at `end`; it must read or skip the value. */
  async #message(end: number, field: (number: number) => Promise<void> | undefined): Promise<void> {
    const fields = this.#fields;
    while (fields.cursor.offset < end) {
      if (!fields.ready) await fields.fill();
      fields.next(end);
      // Skipped fields cost no turn of the event loop.
      const work = field(fields.number);
      if (work !== undefined) await work;
    }
  }

  /** The end of the message that the field holds. */
  #submessage(what: string): number {
    this.#fields.expect(LENGTH_DELIMITED, what);
    return this.#fields.cursor.offset + this.#fields.length;
  }
}
