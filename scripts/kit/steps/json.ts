import { Failure } from './context.js';

type Json = Readonly<Record<string, unknown>>;

function isRecord(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A program's JSON document. Errors: Failure, naming the program. */
export function parseDocument(text: string, program: string): Json {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Failure(`${program} printed no JSON document`);
  }
  if (!isRecord(value)) throw new Failure(`${program} printed JSON that is not an object`);
  return value;
}

/** Fields of a document, each taken with its type. Errors: Failure, naming the field. */
export class Fields {
  readonly #of: Json;
  readonly #path: string;

  constructor(of: Json, path: string) {
    this.#of = of;
    this.#path = path;
  }

  inside(name: string): Fields {
    const value = this.#of[name];
    if (!isRecord(value)) throw this.#wrong(name, 'an object');
    return new Fields(value, `${this.#path}.${name}`);
  }

  text(name: string): string {
    const value = this.#of[name];
    if (typeof value !== 'string') throw this.#wrong(name, 'text');
    return value;
  }

  number(name: string): number {
    const value = this.#of[name];
    if (typeof value !== 'number') throw this.#wrong(name, 'a number');
    return value;
  }

  raw(name: string): unknown {
    return this.#of[name];
  }

  #wrong(name: string, expected: string): Failure {
    return new Failure(`${this.#path}.${name} is not ${expected}`);
  }
}
