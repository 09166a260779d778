import {
  ByteCursor,
  LENGTH_DELIMITED,
  ProtobufReader,
  type RandomAccess,
  type Refuse,
} from '../../../models/index.js';
import type { Use } from './operands.js';

/** Bytes of the file, from `start` to before `end`. */
export interface ByteSpan {
  readonly start: number;
  readonly end: number;
}

/** How the graph uses one of its tensors. */
export interface TensorUse {
  used: boolean;
  /** The first use that the caller's test rejected. */
  obstacle: Use | null;
  /** Whether a graph inside a node reads it. */
  captured: boolean;
  isInput: boolean;
  isOutput: boolean;
}

export interface GraphSurvey {
  /** The model's graph: the whole field, and its content alone. */
  readonly field: ByteSpan;
  readonly content: ByteSpan;
  /** Whole fields of the main graph's initializers, by name. */
  readonly initializers: ReadonlyMap<string, ByteSpan>;
  /** Whole fields of the main graph's Constant nodes, by the name of their output. */
  readonly constants: ReadonlyMap<string, ByteSpan>;
  /** For every known tensor. */
  readonly uses: ReadonlyMap<string, TensorUse>;
}

const MAX_TEXT_BYTES = 1024;
const MAX_DEPTH = 16;
/** Limit of the tensors that one node reads. */
const MAX_NODE_TENSORS = 16_384;

/**
 * Finds the fields of the main graph's tensors, and the nodes that read them. `known` holds the names of all tensors
 * that readOnnx() found in the same file, which has checked it; `accepts` decides which uses allow a tensor to move.
 * Values are skipped.
 *
 * Errors: INVALID_INPUT by `refuse`.
 */
export async function surveyGraph(
  access: RandomAccess,
  known: ReadonlySet<string>,
  accepts: (use: Use) => boolean,
  refuse: Refuse,
): Promise<GraphSurvey> {
  return await new GraphSurveyor(access, known, accepts, refuse).survey();
}

/** A node, once all its fields are read. */
interface NodeDraft {
  operator: string;
  domain: string;
  output: string | null;
  readonly reads: { readonly name: string; readonly input: number }[];
}

class GraphSurveyor {
  readonly #byteLength: number;
  readonly #fields: ProtobufReader;
  readonly #accepts: (use: Use) => boolean;
  readonly #refuse: Refuse;
  readonly #uses: Map<string, TensorUse>;
  readonly #initializers = new Map<string, ByteSpan>();
  readonly #constants = new Map<string, ByteSpan>();

  constructor(
    access: RandomAccess,
    known: ReadonlySet<string>,
    accepts: (use: Use) => boolean,
    refuse: Refuse,
  ) {
    this.#byteLength = access.byteLength;
    this.#fields = new ProtobufReader(new ByteCursor(access, 0, refuse), refuse);
    this.#accepts = accepts;
    this.#refuse = refuse;
    const unused = { used: false, obstacle: null, captured: false, isInput: false, isOutput: false };
    this.#uses = new Map([...known].map((name) => [name, { ...unused }]));
  }

  /** ModelProto: graph = 7. */
  async survey(): Promise<GraphSurvey> {
    let found: { field: ByteSpan; content: ByteSpan } | undefined;
    await this.#message(this.#byteLength, async (number, start) => {
      if (number !== 7) return this.#fields.skip();
      const content = this.#content('a graph');
      await this.#mainGraph(content.end);
      found = { field: { start, end: content.end }, content };
    });
    if (found === undefined) throw this.#refuse('has no graph');
    return {
      ...found,
      initializers: this.#initializers,
      constants: this.#constants,
      uses: this.#uses,
    };
  }

  /** GraphProto: node = 1, initializer = 5, input = 11, output = 12. */
  async #mainGraph(end: number): Promise<void> {
    await this.#message(end, async (number, start) => {
      switch (number) {
        case 1:
          return await this.#mainNode(start, this.#content('a node').end);
        case 5: {
          const { end: fieldEnd } = this.#content('an initializer');
          const name = await this.#nameIn(fieldEnd, 8);
          if (this.#uses.has(name)) this.#initializers.set(name, { start, end: fieldEnd });
          return;
        }
        case 11:
          return await this.#mark(this.#content('an input').end, (use) => {
            use.isInput = true;
          });
        case 12:
          return await this.#mark(this.#content('an output').end, (use) => {
            use.isOutput = true;
          });
        default:
          return this.#fields.skip();
      }
    });
  }

  async #mainNode(start: number, end: number): Promise<void> {
    const node = await this.#node(end, 1);
    const operator = ['', 'ai.onnx'].includes(node.domain)
      ? node.operator
      : `${node.domain}.${node.operator}`;
    if (operator === 'Constant' && node.output !== null && this.#uses.has(node.output)) {
      this.#constants.set(node.output, { start, end });
    }
    for (const { name, input } of node.reads) {
      const use = this.#uses.get(name);
      if (use === undefined) continue;
      use.used = true;
      if (use.obstacle === null && !this.#accepts({ operator, input })) use.obstacle = { operator, input };
    }
  }

  /** NodeProto: input = 1, output = 2, op_type = 4, attribute = 5, domain = 7. */
  async #node(end: number, depth: number): Promise<NodeDraft> {
    const draft: NodeDraft = { operator: '', domain: '', output: null, reads: [] };
    let inputs = 0;
    await this.#message(end, async (number) => {
      switch (number) {
        case 1: {
          const name = await this.#text('an input name');
          if (this.#uses.has(name)) draft.reads.push({ name, input: inputs });
          inputs += 1;
          if (draft.reads.length > MAX_NODE_TENSORS) {
            throw this.#refuse(`has a node that reads more than ${MAX_NODE_TENSORS} tensors`);
          }
          return;
        }
        case 2: {
          const name = await this.#text('an output name');
          draft.output ??= name;
          return;
        }
        case 4:
          draft.operator = await this.#text('an op_type');
          return;
        case 5:
          return await this.#attribute(this.#content('an attribute').end, depth);
        case 7:
          draft.domain = await this.#text('a domain');
          return;
        default:
          return this.#fields.skip();
      }
    });
    return draft;
  }

  /** AttributeProto: g = 6, graphs = 11. */
  async #attribute(end: number, depth: number): Promise<void> {
    await this.#message(end, async (number) => {
      if (number !== 6 && number !== 11) return this.#fields.skip();
      await this.#innerGraph(this.#content('a graph').end, depth + 1);
    });
  }

  /** Collects the main graph's tensors that a graph inside a node reads or outputs. */
  async #innerGraph(end: number, depth: number): Promise<void> {
    if (depth > MAX_DEPTH) throw this.#refuse(`has graphs nested deeper than ${MAX_DEPTH} levels`);
    const capture = (use: TensorUse): void => {
      use.captured = true;
    };
    await this.#message(end, async (number) => {
      if (number === 12) return await this.#mark(this.#content('an output').end, capture);
      if (number !== 1) return this.#fields.skip();
      const { reads } = await this.#node(this.#content('a node').end, depth);
      for (const { name } of reads) this.#apply(name, capture);
    });
  }

  /** ValueInfoProto: name = 1. */
  async #mark(end: number, change: (use: TensorUse) => void): Promise<void> {
    this.#apply(await this.#nameIn(end, 1), change);
  }

  #apply(name: string, change: (use: TensorUse) => void): void {
    const use = this.#uses.get(name);
    if (use !== undefined) change(use);
  }

  /** The text of one field of the message that ends at `end`; empty if the field is missing. */
  async #nameIn(end: number, field: number): Promise<string> {
    let name = '';
    await this.#message(end, async (number) => {
      if (number === field) name = await this.#text('a name');
      else this.#fields.skip();
    });
    return name;
  }

  async #text(what: string): Promise<string> {
    return await this.#fields.text(MAX_TEXT_BYTES, what);
  }

  /**
   * Calls `field` for each field of the message that ends at `end`, with where it starts; it must read or skip the value.
   */
  async #message(
    end: number,
    field: (number: number, start: number) => Promise<void> | undefined,
  ): Promise<void> {
    const fields = this.#fields;
    while (fields.cursor.offset < end) {
      if (!fields.ready) await fields.fill();
      const start = fields.cursor.offset;
      fields.next(end);
      await field(fields.number, start);
    }
  }

  /** The position of the message that the field holds. */
  #content(what: string): ByteSpan {
    this.#fields.expect(LENGTH_DELIMITED, what);
    const start = this.#fields.cursor.offset;
    return { start, end: start + this.#fields.length };
  }
}
